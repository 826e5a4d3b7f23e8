/**
 * vLLM: keys of its own in every choice, the last word in the chunk of the finish
 * reason, details of the usage as null, and errors without a frame in older versions.
 */
import { type Shape, stream } from "./shape.ts"

const source = "https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html"
const chunk = (rest: string) =>
  `{"id":"chatcmpl-e4eb908a00044330868ed9072a59526a","object":"chat.completion.chunk","created":1737893394,"model":"Qwen/Qwen3-8B",${rest}}`

export const shapes: ReadonlyArray<Shape> = [
  {
    name: "vLLM, streamed",
    api: "openai",
    source: "https://docs.vllm.ai/en/latest/features/reasoning_outputs.html",
    body: stream(
      chunk(
        `"choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}],"prompt_token_ids":null`
      ),
      chunk(
        `"choices":[{"index":0,"delta":{"reasoning_content":"Okay"},"logprobs":null,"finish_reason":null,"token_ids":null}]`
      ),
      chunk(
        `"choices":[{"index":0,"delta":{"content":"9.11 is"},"logprobs":null,"finish_reason":null,"token_ids":null}]`
      ),
      chunk(
        `"choices":[{"index":0,"delta":{"content":" smaller"},"logprobs":null,"finish_reason":"stop","stop_reason":null,"token_ids":null}]`
      ),
      chunk(
        `"choices":[],"usage":{"prompt_tokens":24,"total_tokens":55,"completion_tokens":31,"prompt_tokens_details":null}`
      ),
      "[DONE]"
    ),
    answer: "9.11 is smaller",
    usage: { inputTokens: 24, outputTokens: 31 }
  },
  {
    name: "vLLM, a usage whose list of choices is null",
    api: "openai",
    source,
    body: stream(
      chunk(`"choices":[{"index":0,"delta":{"content":"fine"},"finish_reason":"stop","stop_reason":151645}]`),
      chunk(`"choices":null,"usage":{"prompt_tokens":2,"total_tokens":3,"completion_tokens":1}`),
      "[DONE]"
    ),
    answer: "fine",
    usage: { inputTokens: 2, outputTokens: 1 }
  },
  {
    name: "vLLM, a prompt that is too long, without a frame",
    api: "openai",
    source,
    type: "application/json",
    status: 400,
    body: `{"object":"error","message":"This model's maximum context length is 4096 tokens. However, you requested 4236 tokens (140 in the messages, 4096 in the completion). Please reduce the length of the messages or completion.","type":"BadRequestError","param":null,"code":400}`,
    fails: /maximum context length is 4096/,
    reason: "Rejected"
  },
  {
    name: "vLLM, a model that it does not have, without a frame",
    api: "openai",
    source,
    type: "application/json",
    status: 404,
    body: `{"object":"error","message":"The model \`llama-9\` does not exist.","type":"NotFoundError","param":null,"code":404}`,
    fails: /404: The model `llama-9` does not exist/,
    reason: "NoModel"
  },
  {
    name: "vLLM, an error in the middle",
    api: "openai",
    source,
    body: `${stream(chunk(`"choices":[{"index":0,"delta":{"content":"I"},"finish_reason":null}]`))}data: {"error":{"object":"error","message":"EngineCore encountered an issue.","type":"InternalServerError","param":null,"code":500}}\n\ndata: [DONE]\n\n`,
    fails: /EngineCore encountered an issue/,
    reason: "Failed"
  }
]
