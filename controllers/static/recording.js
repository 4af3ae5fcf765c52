// What an answer was made of, so that it can be shown again: its chunks, of which those that continue a text are joined.

export class Recording {
  constructor() {
    this.chunks = [];
    this.shape = null; // of the last chunk, if the next may continue it
  }

  add({ choices, event, usage }) {
    const chunk = JSON.parse(JSON.stringify({ choices: (choices ?? []).map(essential), event, usage: usage ?? undefined }));
    const shape = shapeOf(chunk);
    if (shape && shape === this.shape) join(this.chunks.at(-1), chunk);
    else this.chunks.push(chunk);
    this.shape = shape;
  }
}

/** Return a choice as far as it is shown. */
function essential({ index, delta, finish_reason }) {
  if (index) return { index };
  const filled = Object.entries(delta ?? {}).filter(([name, value]) => value && name !== "role");
  return { delta: Object.fromEntries(filled), finish_reason: finish_reason ?? undefined };
}

/** Return a chunk's JSON without its text; null if it is not a choice with one text. */
function shapeOf({ choices, event, usage }) {
  if (event || usage || choices.some((choice) => choice.finish_reason)) return null;
  let texts = 0;
  const shape = JSON.stringify(choices, (_, value) => (typeof value === "string" && ++texts ? "" : value));
  return texts > 1 ? null : shape;
}

/** Add the text of an object to that of another of the same shape. */
function join(object, next) {
  for (const [name, value] of Object.entries(next)) {
    if (typeof value === "string") object[name] += value;
    else if (value instanceof Object) join(object[name], value);
  }
}
