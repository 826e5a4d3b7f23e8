/**
 * OpenAI's chat completions. A stream ends with a chunk for the usage, whose list
 * of choices is empty, and `[DONE]`.
 */
import { type Shape, stream } from "./shape.ts"

const source = "https://platform.openai.com/docs/api-reference/chat-streaming/streaming"
const chunk = (rest: string) =>
  `{"id":"chatcmpl-123","object":"chat.completion.chunk","created":1694268190,"model":"gpt-4o-mini","system_fingerprint":"fp_44709d6fcb","service_tier":"default",${rest},"obfuscation":"aB3x"}`

const whole = `{
  "id": "chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT",
  "object": "chat.completion",
  "created": 1741569952,
  "model": "gpt-4.1-2025-04-14",
  "choices": [{
    "index": 0,
    "message": {"role": "assistant", "content": "Hello! How can I assist you today?", "refusal": null, "annotations": []},
    "logprobs": null,
    "finish_reason": "stop"
  }],
  "usage": {
    "prompt_tokens": 19, "completion_tokens": 10, "total_tokens": 29,
    "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0, "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0}
  },
  "service_tier": "default"
}`

export const shapes: ReadonlyArray<Shape> = [
  {
    name: "OpenAI, streamed",
    api: "openai",
    source,
    body: stream(
      chunk(
        `"choices":[{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null}],"usage":null`
      ),
      chunk(`"choices":[{"index":0,"delta":{"content":"Hello"},"logprobs":null,"finish_reason":null}],"usage":null`),
      chunk(`"choices":[{"index":0,"delta":{"content":" there"},"logprobs":null,"finish_reason":null}],"usage":null`),
      chunk(`"choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}],"usage":null`),
      chunk(
        `"choices":[],"usage":{"prompt_tokens":19,"completion_tokens":10,"total_tokens":29,"prompt_tokens_details":{"cached_tokens":4}}`
      ),
      "[DONE]"
    ),
    answer: "Hello there",
    usage: { inputTokens: 15, outputTokens: 10, cacheReadTokens: 4 }
  },
  {
    name: "OpenAI, in one document",
    api: "openai",
    source: "https://platform.openai.com/docs/api-reference/chat/create",
    type: "application/json",
    body: whole,
    answer: "Hello! How can I assist you today?",
    usage: { inputTokens: 15, outputTokens: 10, cacheReadTokens: 4 }
  },
  {
    name: "OpenAI, a refusal in the model's words",
    api: "openai",
    source: "https://platform.openai.com/docs/guides/structured-outputs#refusals",
    body: stream(
      chunk(
        `"choices":[{"index":0,"delta":{"role":"assistant","content":null,"refusal":"I'm sorry, "},"finish_reason":null}]`
      ),
      chunk(`"choices":[{"index":0,"delta":{"refusal":"I can't help."},"finish_reason":null}]`),
      chunk(`"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]`),
      "[DONE]"
    ),
    answer: "I'm sorry, I can't help."
  },
  {
    name: "OpenAI, a key that is wrong",
    api: "openai",
    source: "https://platform.openai.com/docs/guides/error-codes/api-errors",
    type: "application/json",
    status: 401,
    body: `{"error":{"message":"Incorrect API key provided: sk-12345. You can find your API key at https://platform.openai.com/account/api-keys.","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}`,
    fails: /^the server does not accept the key \(401\)$/,
    reason: "Failed"
  },
  {
    name: "OpenAI, a model that it does not have",
    api: "openai",
    source: "https://platform.openai.com/docs/guides/error-codes/api-errors",
    type: "application/json",
    status: 404,
    body: `{"error":{"message":"The model \`gpt-9\` does not exist or you do not have access to it.","type":"invalid_request_error","param":null,"code":"model_not_found"}}`,
    fails: /404: The model `gpt-9` does not exist/,
    reason: "NoModel"
  },
  {
    name: "OpenAI, a quota that is used up",
    api: "openai",
    source: "https://platform.openai.com/docs/guides/error-codes/api-errors",
    type: "application/json",
    status: 429,
    body: `{"error":{"message":"You exceeded your current quota, please check your plan and billing details.","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}`,
    fails: /429: You exceeded your current quota/,
    reason: "Failed"
  },
  {
    name: "OpenAI, a prompt that is too long",
    api: "openai",
    source: "https://platform.openai.com/docs/guides/error-codes/api-errors",
    type: "application/json",
    status: 400,
    body: `{"error":{"message":"This model's maximum context length is 8192 tokens. However, your messages resulted in 9012 tokens. Please reduce the length of the messages.","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}`,
    fails: /maximum context length is 8192/,
    reason: "Rejected"
  }
]
