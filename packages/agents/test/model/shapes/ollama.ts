/**
 * Ollama's OpenAI-compatible interface: a role in every chunk, reasoning under
 * `reasoning`, no details in the usage, and none at all unless it is asked for.
 */
import { type Shape, stream } from "./shape.ts"

const source = "https://docs.ollama.com/api/openai-compatibility"
const chunk = (rest: string) =>
  `{"id":"chatcmpl-954","object":"chat.completion.chunk","created":1721137486,"model":"llama3.2","system_fingerprint":"fp_ollama",${rest}}`

export const shapes: ReadonlyArray<Shape> = [
  {
    name: "Ollama, streamed",
    api: "openai",
    source,
    body: stream(
      chunk(`"choices":[{"index":0,"delta":{"role":"assistant","content":"Hi"},"finish_reason":null}]`),
      chunk(`"choices":[{"index":0,"delta":{"role":"assistant","content":" there"},"finish_reason":null}]`),
      chunk(`"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":"stop"}]`),
      chunk(`"choices":[],"usage":{"prompt_tokens":26,"completion_tokens":3,"total_tokens":29}`),
      "[DONE]"
    ),
    answer: "Hi there",
    usage: { inputTokens: 26, outputTokens: 3 }
  },
  {
    name: "Ollama, a model that reasons, without a usage",
    api: "openai",
    source: "https://docs.ollama.com/capabilities/thinking",
    body: stream(
      chunk(
        `"choices":[{"index":0,"delta":{"role":"assistant","content":"","reasoning":"The user greets"},"finish_reason":null}]`
      ),
      chunk(
        `"choices":[{"index":0,"delta":{"role":"assistant","content":"","reasoning":" me."},"finish_reason":null}]`
      ),
      chunk(`"choices":[{"index":0,"delta":{"role":"assistant","content":"Hi!"},"finish_reason":null}]`),
      chunk(`"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":"stop"}]`),
      "[DONE]"
    ),
    answer: "Hi!"
  },
  {
    name: "Ollama, a model that it does not have",
    api: "openai",
    source,
    type: "application/json",
    status: 404,
    body: `{"error":{"message":"model \\"llama9\\" not found, try pulling it first","type":"not_found_error","param":null,"code":null}}`,
    fails: /404: model "llama9" not found, try pulling it first/,
    reason: "NoModel"
  },
  {
    name: "Ollama, an error without a frame",
    api: "openai",
    source: "https://docs.ollama.com/api/errors",
    type: "application/json",
    status: 400,
    body: `{"error":"invalid message format"}`,
    fails: /400: invalid message format/,
    reason: "Rejected"
  }
]
