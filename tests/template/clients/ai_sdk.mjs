// The AI SDK.
import { createOpenAI } from '@ai-sdk/openai'
import { generateText, stepCountIs, streamText, tool } from 'ai'
import { z } from 'zod'

const [, , baseURL, , ...models] = process.argv
const openai = createOpenAI({ baseURL, apiKey: 'none' })
const execute = ({ city }) => `Rain in ${city}.`
const tools = { get_weather: tool({ inputSchema: z.object({ city: z.string() }), execute }) }
const providerOptions = { openai: { reasoningSummary: 'auto', forceReasoning: true } }

async function read(model, stream) {
  let error
  const onError = (event) => (error = event.error)
  const request = { model: openai.responses(model), prompt: 'Hello!', tools, providerOptions, stopWhen: stepCountIs(3), maxRetries: 0 }
  const result = stream ? streamText({ ...request, onError }) : await generateText(request)
  if (stream) await result.consumeStream()
  if (error) throw error
  const sources = (await result.sources).map((source) => source.title)
  return { text: await result.text, thought: (await result.reasoningText) ?? '', sources }
}

for (const model of models)
  for (const stream of [false, true])
    console.log(JSON.stringify([model, stream, await read(model, stream).catch((error) => ({ error: error.message }))]))
