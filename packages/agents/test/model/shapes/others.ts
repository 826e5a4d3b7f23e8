/**
 * What servers between the others do: comments while they wait, lines that end in
 * CRLF, `data:` without a space, no end at all, errors under other names.
 */
import { type Shape, stream } from "./shape.ts"

const said = (content: string, finish = "null") =>
  `{"choices":[{"index":0,"delta":{"content":${JSON.stringify(content)}},"finish_reason":${finish}}]}`

export const shapes: ReadonlyArray<Shape> = [
  {
    name: "OpenRouter, comments while it waits, and the cost",
    api: "openai",
    source: "https://openrouter.ai/docs/api-reference/streaming",
    body: `: OPENROUTER PROCESSING\n\n: OPENROUTER PROCESSING\n\n${stream(
      said("cheap"),
      said("", `"stop"`),
      `{"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}],"usage":{"prompt_tokens":14,"completion_tokens":4,"total_tokens":18,"cost":0.00014}}`,
      "[DONE]"
    )}`,
    answer: "cheap",
    usage: { inputTokens: 14, outputTokens: 4, cost: 0.00014 }
  },
  {
    name: "OpenRouter, an error in the middle",
    api: "openai",
    source: "https://openrouter.ai/docs/api-reference/errors",
    body: stream(
      said("so"),
      `{"id":"cmpl-abc123","object":"chat.completion.chunk","error":{"code":"server_error","message":"Provider disconnected"},"choices":[{"index":0,"delta":{"content":""},"finish_reason":"error"}]}`
    ),
    fails: /Provider disconnected/,
    reason: "Failed"
  },
  {
    name: "LM Studio, a prompt that is too long as the only event",
    api: "openai",
    source: "https://github.com/lmstudio-ai/lmstudio-bug-tracker/issues",
    body: `event: error\ndata: {"error":{"message":"The number of tokens to keep from the initial prompt is greater than the context length."},"message":"The number of tokens to keep from the initial prompt is greater than the context length."}\n\n`,
    fails: /greater than the context length/,
    reason: "Rejected"
  },
  {
    name: "Gemini behind OpenAI's interface, an error in a list",
    api: "openai",
    source: "https://ai.google.dev/gemini-api/docs/openai",
    type: "application/json",
    status: 400,
    body: `[{"error":{"code":400,"message":"Request contains an invalid argument.","status":"INVALID_ARGUMENT"}}]`,
    fails: /400: Request contains an invalid argument/,
    reason: "Rejected"
  },
  {
    name: "Mistral, a model that it does not have",
    api: "openai",
    source: "https://docs.mistral.ai/api/",
    type: "application/json",
    status: 400,
    body: `{"object":"error","message":"Invalid model: mistral-9","type":"invalid_model","param":null,"code":"1500"}`,
    fails: /400: Invalid model: mistral-9/,
    reason: "NoModel"
  },
  {
    name: "Mistral, content as a list with thoughts in it",
    api: "openai",
    source: "https://docs.mistral.ai/capabilities/reasoning/",
    body: stream(
      `{"choices":[{"index":0,"delta":{"role":"assistant","content":[{"type":"thinking","thinking":[{"type":"text","text":"hm"}]}]},"finish_reason":null}]}`,
      `{"choices":[{"index":0,"delta":{"content":[{"type":"text","text":"Bonjour"}]},"finish_reason":"stop"}]}`,
      "[DONE]"
    ),
    answer: "Bonjour"
  },
  {
    name: "lines that end in CRLF, data without a space, an event without its blank line",
    api: "openai",
    source: "https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream",
    body: `\ufeffdata:${said("one")}\r\n\r\nid:7\r\nretry:3000\r\ndata:${said(" two")}\r\n\r\ndata:${said(" three", `"stop"`)}`,
    answer: "one two three"
  },
  {
    name: "a stream that ends without [DONE], but with a reason",
    api: "openai",
    source: "https://html.spec.whatwg.org/multipage/server-sent-events.html",
    body: stream(said("enough"), said("", `"stop"`)),
    answer: "enough"
  },
  {
    name: "a stream that ends with [DONE], but without a reason",
    api: "openai",
    source: "https://html.spec.whatwg.org/multipage/server-sent-events.html",
    body: stream(said("enough"), "[DONE]"),
    answer: "enough"
  },
  {
    name: "a usage that is none, and a reason that nobody knows",
    api: "openai",
    source: "https://platform.openai.com/docs/api-reference/chat-streaming/streaming",
    body: stream(
      `{"choices":[{"index":0,"delta":{"content":"all the same"},"finish_reason":"eos"}],"usage":"n/a"}`,
      `{"choices":[],"usage":{"prompt_tokens":"12","completion_tokens":-1}}`,
      "[DONE]"
    ),
    answer: "all the same"
  },
  {
    name: "a stream that ends with neither",
    api: "openai",
    source: "https://html.spec.whatwg.org/multipage/server-sent-events.html",
    body: stream(said("not enou")),
    fails: /before the answer was whole/,
    reason: "Failed"
  },
  {
    name: "a stream that is none",
    api: "openai",
    source: "https://html.spec.whatwg.org/multipage/server-sent-events.html",
    body: "data: <oops>\n\n",
    fails: /what is no answer: <oops>/,
    reason: "Failed"
  },
  {
    name: "a web page of something in between",
    api: "openai",
    source: "https://html.spec.whatwg.org/",
    type: "text/html; charset=utf-8",
    body: "<!doctype html><title>Sign in</title>",
    fails: /a web page/,
    reason: "Failed"
  }
]
