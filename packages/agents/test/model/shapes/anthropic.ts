/**
 * Anthropic's messages: named events, pings in between, usage at the beginning and
 * at the end, thinking in blocks of its own.
 */
import type { Shape } from "./shape.ts"

const source = "https://docs.anthropic.com/en/api/messages-streaming"
const events = (...data: ReadonlyArray<readonly [name: string, data: string]>) =>
  data.map(([name, json]) => `event: ${name}\ndata: ${json}\n\n`).join("")

const start = [
  "message_start",
  `{"type":"message_start","message":{"id":"msg_1nZdL29xx5MUA1yADyHTEsnR8uuvGzszyY","type":"message","role":"assistant","content":[],"model":"claude-opus-4-1-20250805","stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":25,"output_tokens":1,"cache_creation_input_tokens":3,"cache_read_input_tokens":7}}}`
] as const

export const shapes: ReadonlyArray<Shape> = [
  {
    name: "Anthropic, streamed",
    api: "anthropic",
    source,
    body: events(
      start,
      ["content_block_start", `{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}`],
      ["ping", `{"type": "ping"}`],
      ["content_block_delta", `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hello"}}`],
      ["content_block_delta", `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"!"}}`],
      ["content_block_stop", `{"type":"content_block_stop","index":0}`],
      [
        "message_delta",
        `{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":15}}`
      ],
      ["message_stop", `{"type":"message_stop"}`]
    ),
    answer: "Hello!",
    usage: { inputTokens: 25, outputTokens: 15, cacheReadTokens: 7, cacheWriteTokens: 3 }
  },
  {
    name: "Anthropic, a model that thinks, and an event that is not known",
    api: "anthropic",
    source,
    body: events(
      start,
      [
        "content_block_start",
        `{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}`
      ],
      [
        "content_block_delta",
        `{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"Let me see"}}`
      ],
      [
        "content_block_delta",
        `{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"EqQBCgIYAhIM1gbcDa9GJwZA2b3h"}}`
      ],
      ["content_block_stop", `{"type":"content_block_stop","index":0}`],
      ["weather_report", `{"type":"weather_report","sky":"clear"}`],
      ["content_block_start", `{"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}}`],
      [
        "content_block_delta",
        `{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"27 * 453 = 12,231"}}`
      ],
      ["content_block_stop", `{"type":"content_block_stop","index":1}`],
      [
        "message_delta",
        `{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":30}}`
      ],
      ["message_stop", `{"type":"message_stop"}`]
    ),
    answer: "27 * 453 = 12,231",
    usage: { inputTokens: 25, outputTokens: 30, cacheReadTokens: 7, cacheWriteTokens: 3 }
  },
  {
    name: "Anthropic, in one document",
    api: "anthropic",
    source: "https://docs.anthropic.com/en/api/messages",
    type: "application/json",
    body: `{"content":[{"text":"Hi! My name is Claude.","type":"text"}],"id":"msg_013Zva2CMHLNnXjNJJKqJ2EF","model":"claude-sonnet-4-20250514","role":"assistant","stop_reason":"end_turn","stop_sequence":null,"type":"message","usage":{"input_tokens":2095,"output_tokens":503}}`,
    answer: "Hi! My name is Claude.",
    usage: { inputTokens: 2095, outputTokens: 503 }
  },
  {
    name: "Anthropic, overloaded in the middle",
    api: "anthropic",
    source,
    body: events(
      start,
      ["content_block_delta", `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hel"}}`],
      ["error", `{"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}`]
    ),
    fails: /529: Overloaded/,
    reason: "Failed"
  },
  {
    name: "Anthropic, a prompt that is too long",
    api: "anthropic",
    source: "https://docs.anthropic.com/en/api/errors",
    type: "application/json",
    status: 400,
    body: `{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 210000 tokens > 200000 maximum"},"request_id":"req_011CSHoEeqs5C35K2UUqR7Fy"}`,
    fails: /prompt is too long/,
    reason: "Rejected"
  },
  {
    name: "Anthropic, a model that it does not have",
    api: "anthropic",
    source: "https://docs.anthropic.com/en/api/errors",
    type: "application/json",
    status: 404,
    body: `{"type":"error","error":{"type":"not_found_error","message":"model: claude-9"}}`,
    fails: /404: model: claude-9/,
    reason: "NoModel"
  },
  {
    name: "Anthropic, a key without permission",
    api: "anthropic",
    source: "https://docs.anthropic.com/en/api/errors",
    type: "application/json",
    status: 403,
    body: `{"type":"error","error":{"type":"permission_error","message":"Your API key does not have permission to use the specified resource."}}`,
    fails: /403/,
    reason: "Failed"
  }
]
