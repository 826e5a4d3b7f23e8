/**
 * llama-server of llama.cpp: content as null in the first chunk, reasoning under
 * `reasoning_content`, times beside the usage, and errors with a number as code.
 */
import { type Shape, stream } from "./shape.ts"

const source = "https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md"
const chunk = (choices: string, rest = "") =>
  `{"choices":[${choices}],"created":1762593253,"id":"chatcmpl-DHvcEyFobkuV4Xu1QSYo4bqNv18TDqaA","model":"gpt-oss:20b","system_fingerprint":"b6881-8b11deea4","object":"chat.completion.chunk"${rest}}`
const timings = `"timings":{"prompt_n":1085,"prompt_ms":203.378,"prompt_per_token_ms":0.187,"prompt_per_second":5334.89,"predicted_n":247,"predicted_ms":933.63,"predicted_per_token_ms":3.77,"predicted_per_second":264.55}`

export const shapes: ReadonlyArray<Shape> = [
  {
    name: "llama.cpp, streamed",
    api: "openai",
    source,
    body: stream(
      chunk(`{"finish_reason":null,"index":0,"delta":{"role":"assistant","content":null}}`),
      chunk(`{"finish_reason":null,"index":0,"delta":{"reasoning_content":"We"}}`),
      chunk(`{"finish_reason":null,"index":0,"delta":{"content":"Good"}}`),
      chunk(`{"finish_reason":null,"index":0,"delta":{"content":" day"}}`),
      chunk(
        `{"finish_reason":"stop","index":0,"delta":{}}`,
        `,"usage":{"completion_tokens":247,"prompt_tokens":1085,"total_tokens":1332},${timings}`
      ),
      "[DONE]"
    ),
    answer: "Good day",
    usage: { inputTokens: 1085, outputTokens: 247 }
  },
  {
    name: "llama.cpp, a prompt that is too long",
    api: "openai",
    source: "https://github.com/ggml-org/llama.cpp/pull/15780",
    type: "application/json; charset=utf-8",
    status: 400,
    body: `{"error":{"code":400,"message":"the request exceeds the available context size, try increasing it","type":"exceed_context_size_error","n_prompt_tokens":1407,"n_ctx":256}}`,
    fails: /exceeds the available context size/,
    reason: "Rejected"
  },
  {
    name: "llama.cpp, the same in an answer that calls itself good",
    api: "openai",
    source: "https://github.com/ggml-org/llama.cpp/pull/16486",
    body: `data: {"error":{"code":400,"message":"the request exceeds the available context size. try increasing the context size or enable context shift","type":"exceed_context_size_error","n_prompt_tokens":14429,"n_ctx":8192}}\n\n`,
    fails: /exceeds the available context size/,
    reason: "Rejected"
  },
  {
    name: "llama.cpp, a model that is still being loaded",
    api: "openai",
    source,
    type: "application/json; charset=utf-8",
    status: 503,
    body: `{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}`,
    fails: /503: Loading model/,
    reason: "Failed"
  },
  {
    name: "llama.cpp, thoughts that were left in the text",
    api: "openai",
    source,
    body: stream(
      chunk(`{"finish_reason":null,"index":0,"delta":{"role":"assistant","content":"<thi"}}`),
      chunk(`{"finish_reason":null,"index":0,"delta":{"content":"nk>\\nHm. </th"}}`),
      chunk(`{"finish_reason":null,"index":0,"delta":{"content":"ink>\\n\\n4"}}`),
      chunk(`{"finish_reason":"stop","index":0,"delta":{"content":"2"}}`),
      "[DONE]"
    ),
    answer: "42"
  }
]
