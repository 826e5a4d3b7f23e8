/**
 * The thread in which an ONNX model runs. It loads the library and the model from local folders, and nothing from anywhere
 * else; then it answers one request after the other. A step of the model is one call that nothing can break: between two
 * of them it hears what was said to it meanwhile.
 */
import { existsSync, readdirSync, statSync } from "node:fs"
import { createRequire } from "node:module"
import { join } from "node:path"
import { memoryUsage } from "node:process"
import { parentPort, workerData } from "node:worker_threads"
import { images, texts } from "../onnx/embed.ts"
import { chat } from "../onnx/generate.ts"
import { type Answering, type Charge, type Library, Refused, suffixes } from "../onnx/library.ts"

const charge = workerData as Charge
const { folder } = charge
const name = "@huggingface/transformers"

// The rule takes every port for a window.
// oxlint-disable-next-line require-post-message-target-origin
const say = (message: object): void => parentPort?.postMessage(message)

const messageOf = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause))

const found = (): Library => {
  for (const from of charge.from) {
    const require = createRequire(join(from, "from.js"))
    let path: string
    try {
      path = require.resolve(name)
    } catch {
      // Not here; perhaps in the next one.
      continue
    }
    try {
      return require(path) as Library
    } catch (cause) {
      throw new Error(`${name} is at ${path} and can't be loaded: ${messageOf(cause)}`, { cause })
    }
  }
  const given = charge.from.length === 1
  const where = given ? charge.from[0] : "./library"
  const then = given ? "" : ", and name that folder in `library`"
  throw new Error(`${name} is not installed; run \`npm install --prefix ${where} ${name}@4\`${then}`)
}

const need = (...files: ReadonlyArray<string>): void => {
  if (!existsSync(folder)) throw new Error(`${folder} does not exist; name the folder that holds the model`)
  const missing = files.find((file) => !existsSync(join(folder, file)))
  if (missing !== undefined) throw new Error(`${folder}: ${missing} is missing`)
}

interface File {
  readonly subfolder: string
  readonly dtype: string
  readonly bytes: number
}

/** The model's file: in the folder `onnx` or beside the others, in the kind of numbers that is asked for, or the most exact. */
const modelFile = (): File => {
  const kinds = charge.dtype === undefined ? Object.keys(suffixes) : [charge.dtype]
  for (const subfolder of ["onnx", ""]) {
    const place = join(folder, subfolder)
    if (!existsSync(place)) continue
    const files = readdirSync(place)
    for (const dtype of kinds) {
      const named = new RegExp(`^(?:model|vision_model|decoder_model_merged)${suffixes[dtype] ?? `_${dtype}`}\\.onnx`)
      const own = files.filter((file) => named.test(file))
      if (!own.some((file) => file.endsWith(".onnx"))) continue
      const bytes = own.reduce((sum, file) => sum + statSync(join(place, file)).size, 0)
      return { subfolder, dtype, bytes }
    }
  }
  const suffix = suffixes[kinds[0] ?? "fp32"] ?? ""
  throw new Error(`${folder}: onnx/model${suffix}.onnx is missing`)
}

const load = async (): Promise<{ readonly answering: Answering; readonly bytes: number }> => {
  const isText = charge.task !== "image-embedding"
  need("config.json", ...(isText ? ["tokenizer.json", "tokenizer_config.json"] : ["preprocessor_config.json"]))
  const { bytes, dtype, subfolder } = modelFile()
  const library = found()
  library.env.allowRemoteModels = false
  library.env.useFSCache = false
  library.env.fetch = () => Promise.reject(new Error("nothing is fetched from the network"))
  const local = { local_files_only: true }
  const session = charge.threads === undefined ? {} : { intraOpNumThreads: charge.threads }
  const how = { ...local, subfolder, dtype, device: charge.device, session_options: session }
  if (charge.task === "text-embedding") {
    const tokenizer = await library.AutoTokenizer.from_pretrained(folder, local)
    return { answering: texts(charge, tokenizer, await library.AutoModel.from_pretrained(folder, how)), bytes }
  }
  if (charge.task === "text-generation") {
    const tokenizer = await library.AutoTokenizer.from_pretrained(folder, local)
    const model = await library.AutoModelForCausalLM.from_pretrained(folder, how)
    return { answering: chat(charge, library, tokenizer, model), bytes }
  }
  const { model_type } = await library.AutoConfig.from_pretrained(folder, local)
  const { AutoModel, AutoModelForImageFeatureExtraction: OfImages } = library
  const processor = await library.AutoProcessor.from_pretrained(folder, local)
  const model = await (OfImages.supports(model_type) ? OfImages : AutoModel).from_pretrained(folder, how)
  return { answering: images(charge, library, processor, model), bytes }
}

interface Asked {
  readonly id: string
  readonly request: unknown
  readonly stream?: boolean
}

const serve = (answering: Answering): void => {
  const cancelled = new Set<string>()
  let now: { readonly id: string; readonly cancel: () => void } | undefined
  const answer = async ({ id, request, stream }: Asked): Promise<void> => {
    const running = {
      cancelled: () => cancelled.has(id),
      onCancel: undefined as (() => void) | undefined,
      part: (part: unknown) => {
        if (!cancelled.has(id)) say({ id, part })
      }
    }
    now = { id, cancel: () => running.onCancel?.() }
    try {
      const answer = running.cancelled() ? undefined : await answering(request, stream === true, running)
      say(answer === undefined ? { id, end: true } : { id, answer })
    } catch (cause) {
      say({ id, error: messageOf(cause), ...(cause instanceof Refused ? { refused: true } : {}) })
    } finally {
      cancelled.delete(id)
      now = undefined
    }
  }
  let line = Promise.resolve()
  const waiting = new Set<string>()
  parentPort?.on("message", (message: Asked | { readonly cancel: string }) => {
    if ("cancel" in message) {
      if (waiting.has(message.cancel)) cancelled.add(message.cancel)
      if (now?.id === message.cancel) now.cancel()
      return
    }
    waiting.add(message.id)
    line = line.then(() => answer(message)).finally(() => waiting.delete(message.id))
  })
}

const begin = async (): Promise<void> => {
  try {
    const before = memoryUsage().rss
    const { answering, bytes } = await load()
    serve(answering)
    say({ ready: true, bytes: Math.max(bytes, memoryUsage().rss - before) })
  } catch (cause) {
    say({ failed: messageOf(cause) })
  }
}

void begin()
