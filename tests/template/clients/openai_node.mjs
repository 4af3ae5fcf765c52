// openai-node.
import OpenAI from 'openai'

const [, , baseURL, , ...models] = process.argv
const client = new OpenAI({ baseURL, apiKey: 'none', maxRetries: 0 })
const parameters = { type: 'object', properties: { city: { type: 'string' } } }
const tools = [{ type: 'function', name: 'get_weather', strict: false, parameters }]

const ask = async (model, stream, body) =>
  stream
    ? client.responses.stream({ model, tools, ...body }).finalResponse()
    : client.responses.create({ model, tools, ...body })

async function read(model, stream) {
  let response = await ask(model, stream, { input: 'Hello!' })
  const calls = response.output.filter((item) => item.type === 'function_call')
  if (calls.length) {
    const outputs = calls.map(({ call_id, arguments: text }) => ({
      type: 'function_call_output', call_id, output: `Rain in ${JSON.parse(text).city}.`,
    }))
    response = await ask(model, stream, { input: outputs, previous_response_id: response.id })
  }
  const parts = response.output.flatMap((item) => item.content)
  const thought = parts.filter((part) => part.type === 'reasoning_text').map((part) => part.text).join('')
  const sources = parts.flatMap((part) => part.annotations ?? []).map((note) => note.title)
  return response.error ? { error: response.error.message } : { text: response.output_text, thought, sources }
}

for (const model of models)
  for (const stream of [false, true])
    console.log(JSON.stringify([model, stream, await read(model, stream).catch((error) => ({ error: error.message }))]))
