/**
 * The pools of the configuration, a Schema for each kind of worker. What a kind needs at run time is loaded by
 * pools/Workers.ts, and only when a configuration names it: a new kind has a Schema here and a case there.
 */
import * as Schema from "effect/Schema"
import { isAddress, keyOfServer, program } from "./Agents.ts"
import * as Setting from "./Setting.ts"

/** What a pool can be asked for. */
export const capabilities = [
  "text-embedding",
  "text-generation",
  "image-embedding",
  "vision",
  "image-generation"
] as const

const Workers = Schema.Struct({
  start: Schema.optionalKey(
    Setting.integer(1, 1000, {
      meaning: "Workers that the first request starts: 2 unless set, fewer when memory is short."
    })
  ),
  min: Schema.optionalKey(
    Setting.integer(0, 1000, {
      meaning: "Workers that stay although nobody needs them, once there are so many; none unless set."
    })
  ),
  max: Schema.optionalKey(
    Setting.integer(0, 1000, { meaning: "Most workers: 4 unless set. With 0 the pool is switched off." })
  ),
  concurrency: Schema.optionalKey(
    Setting.integer(1, 100_000, {
      meaning: "Requests that one worker takes at once, unless it says so itself: 1, and 8 for a server, unless set."
    })
  ),
  memory: Schema.optionalKey(
    Setting.size(0, 1024 ** 5, {
      meaning:
        "Memory that one worker is thought to take until it is measured; none unless set, as for servers elsewhere."
    })
  ),
  idle: Schema.optionalKey(
    Setting.duration("1 second", "24 hours", {
      meaning: "One worker leaves for each such time in which it was not needed: 1 minute unless set."
    })
  ),
  loadTimeout: Schema.optionalKey(
    Setting.duration("100 millis", "24 hours", {
      meaning: "A worker that is not ready by then has failed to load: 1 minute unless set."
    })
  )
})

const common = {
  capability: Setting.choice(capabilities, { meaning: "What it is asked for." }),
  models: Schema.optionalKey(
    Setting.list({
      meaning: "Names by which clients ask for it; the pool's own name unless set. Each belongs to one pool.",
      expected: 'a list of names without spaces, such as ["nomic-embed-text"]',
      least: 1,
      test: (name) => /^[\x21-\x7e]{1,128}$/.test(name)
    })
  ),
  workers: Schema.optionalKey(Workers),
  queue: Schema.optionalKey(
    Setting.integer(1, 1_000_000, { meaning: "Requests that may wait, 256 unless set; further ones get 429." })
  ),
  queuePerCaller: Schema.optionalKey(
    Setting.integer(1, 1_000_000, { meaning: "The same of one caller; as many as `queue` unless set." })
  ),
  requestTimeout: Schema.optionalKey(
    Setting.duration("100 millis", "24 hours", {
      meaning:
        "From a request to the end of its answer, the waiting included. Unless set 1 minute for text embedding, 2 for image embedding, 10 for images, 15 for chats."
    })
  ),
  stallTimeout: Schema.optionalKey(
    Setting.duration("100 millis", "24 hours", {
      meaning: "A streamed answer that is silent for so long has failed: 1 minute for text, 2 for vision unless set."
    })
  )
}

const imageShape = Schema.optionalKey(
  Setting.choice(["objects", "modality", "messages"], {
    meaning:
      'How the server takes images to embed: `{"image": ...}` as Jina (`objects`, unless set), as infinity (`modality`), or as a chat as vLLM (`messages`).'
  })
)

const maxBatch = Schema.optionalKey(
  Setting.integer(1, 1_000_000, { meaning: "Most texts or images of one request for embeddings: 2048 unless set." })
)

/** Servers that run by themselves, here or elsewhere. */
const OpenAi = Schema.Struct({
  kind: Setting.tag("openai", {
    meaning: "Servers that speak as OpenAI does: Ollama, llama.cpp, vLLM, infinity, a provider."
  }),
  ...common,
  url: Schema.optionalKey(
    Setting.text({
      meaning: "Address of the server.",
      expected: 'an address without a key in it, such as "http://localhost:11434" or "https://api.openai.com/v1"',
      test: isAddress
    })
  ),
  urls: Schema.optionalKey(
    Setting.list({
      meaning: "Addresses of several servers alike, instead of `url`: each worker takes the next one.",
      expected: 'a list of addresses without a key in them, such as ["http://gpu1:8000", "http://gpu2:8000"]',
      least: 1,
      test: isAddress
    })
  ),
  model: Setting.text({
    meaning: "Name of the model at the server.",
    expected: 'the name of a model, such as "nomic-embed-text"'
  }),
  ...keyOfServer,
  health: Schema.optionalKey(
    Setting.text({
      meaning:
        "Path below the address that says whether the server is there: `/models` unless set; `none` asks nothing.",
      expected: 'a path such as "/models", or "none"',
      test: (path) => path === "none" || /^\/[!-~]*$/.test(path)
    })
  ),
  imageShape,
  maxBatch
})

/** Servers that the gateway starts and ends. */
const Server = Schema.Struct({
  kind: Setting.tag("server", {
    meaning:
      "A server for each worker, started when it is needed, that speaks as OpenAI does: `llama-server` and its like."
  }),
  ...common,
  argv: Setting.list({
    meaning:
      "Program and arguments; `{port}` becomes the port that it is to listen on, `{place}` the worker's number from 0. No shell.",
    expected: 'a list with the program and its arguments, such as ["llama-server", "-m", "a.gguf", "--port", "{port}"]',
    least: 1
  }),
  ...program,
  model: Schema.optionalKey(
    Setting.text({ meaning: "Name of the model at the server, where it has several; the pool's own name unless set." })
  ),
  host: Schema.optionalKey(Setting.text({ meaning: "Where it listens: 127.0.0.1 unless set." })),
  port: Schema.optionalKey(
    Setting.integer(1, 65_535, {
      meaning: "Port of the first one, the next ones get the next ones; any free one unless set."
    })
  ),
  health: Schema.optionalKey(
    Setting.text({
      meaning:
        "Path that is asked until it answers with 200: `/health` unless set, and `/v1/models` where there is none.",
      expected: 'a path such as "/health"',
      test: (path) => /^\/[!-~]*$/.test(path)
    })
  ),
  hangTimeout: Schema.optionalKey(
    Setting.duration("100 millis", "24 hours", {
      meaning: "One that leaves that path unanswered for so long is given up: 10 seconds unless set."
    })
  ),
  imageShape,
  maxBatch
})

/** Programs that the gateway starts and ends. */
const Program = Schema.Struct({
  kind: Setting.tag("program", {
    meaning: "A program for each worker, started and ended by the pool, that speaks lines of JSON."
  }),
  ...common,
  argv: Setting.list({
    meaning:
      "Program and arguments; `{place}` in them becomes the worker's number from 0, for a port or a device. No shell.",
    expected: 'a list with the program and its arguments, such as ["python3", "embed.py"]',
    least: 1
  }),
  ...program
})

/** Threads of the gateway's own process that run a model from a local folder. */
const Onnx = Schema.Struct({
  kind: Setting.tag("onnx", {
    meaning:
      "An ONNX model from a local folder, in a thread of the gateway: for small models that embed or write texts."
  }),
  ...common,
  folder: Setting.path({
    meaning: "Folder of the model, with `config.json` and `onnx/model.onnx`. Nothing is downloaded."
  }),
  dtype: Schema.optionalKey(
    Setting.choice(["fp32", "fp16", "q8", "int8", "uint8", "q4", "q4f16", "bnb4"], {
      meaning: "Which of the model's files is taken; the most exact that is there unless set."
    })
  ),
  device: Schema.optionalKey(Setting.text({ meaning: "What it runs on: `cpu` unless set." })),
  threads: Schema.optionalKey(
    Setting.integer(1, 1024, { meaning: "Cores that one step of the model uses: all unless set." })
  ),
  library: Schema.optionalKey(
    Setting.path({
      meaning:
        "Folder in whose `node_modules` `@huggingface/transformers` is, when that is neither beside the program nor in the working folder."
    })
  ),
  heap: Schema.optionalKey(
    Setting.size(64 * 1024 ** 2, 64 * 1024 ** 3, {
      meaning: "JavaScript's memory in the thread, without the model's weights: 1 GiB unless set."
    })
  ),
  batch: Schema.optionalKey(
    Setting.integer(1, 100_000, { meaning: "Items that go through the model at once: 16 unless set." })
  ),
  maxBatch,
  pooling: Schema.optionalKey(
    Setting.choice(["mean", "cls", "last"], {
      meaning: "How the vectors of a text's tokens become one: as the model does it, else their mean, unless set."
    })
  ),
  normalize: Schema.optionalKey(
    Setting.flag({ meaning: "Whether vectors are brought to length 1: they are unless set to false." })
  ),
  maxTokens: Schema.optionalKey(
    Setting.integer(1, 1_000_000, {
      meaning: "The longest answer of a chat in tokens, when the request says nothing: 1024 unless set."
    })
  )
})

/** A pool, by the kind of its workers. */
export const Pool = Schema.Union([OpenAi, Server, Program, Onnx])
/** A pool, by the kind of its workers. */
export type Pool = typeof Pool.Type
/** A pool of servers. */
export type OpenAi = typeof OpenAi.Type
/** A pool of servers that are started on demand. */
export type Server = typeof Server.Type
/** A pool of programs. */
export type Program = typeof Program.Type
/** A pool of threads. */
export type Onnx = typeof Onnx.Type
