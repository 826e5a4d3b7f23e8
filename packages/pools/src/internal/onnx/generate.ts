/**
 * Text by a model that is loaded in this thread, token by token. Between two tokens the thread hears that nobody wants
 * the rest. What the model can't do is refused rather than left out: an answer without the tools that were asked for
 * looks like one that did not need them.
 */
import type { ChatPart, TextRequest } from "../../Capabilities.ts"
import {
  type Answering,
  type Charge,
  type Library,
  type Model,
  Refused,
  type Running,
  type Tokenizer
} from "./library.ts"

type Settings = NonNullable<TextRequest["settings"]>

const textOf = (content: TextRequest["messages"][number]["content"]): string => {
  if (typeof content === "string") return content
  return (content ?? []).map((part) => (typeof part["text"] === "string" ? part["text"] : "")).join("")
}

const numberAt = (settings: Settings, ...names: ReadonlyArray<string>): number | undefined => {
  for (const name of names) {
    const value = settings[name]
    if (typeof value === "number") return value
  }
  return undefined
}

const refuse = (settings: Settings): void => {
  const { n, response_format: format, tools } = settings
  if (Array.isArray(tools) && tools.length > 0) throw new Refused("tools: this model calls none; leave them out")
  if (typeof n === "number" && n > 1) throw new Refused(`n ${n}: this model gives one answer; ask for 1`)
  if (typeof format === "object" && format !== null && "type" in format && format["type"] !== "text") {
    throw new Refused("response_format: this model writes text only; leave it out")
  }
}

const stopsOf = ({ stop }: Settings): ReadonlyArray<string> =>
  (Array.isArray(stop) ? stop : [stop]).filter((word): word is string => typeof word === "string" && word !== "")

/** Holds back what may be the beginning of a stop word, and ends before one. */
const writer = (stops: ReadonlyArray<string>, write: (text: string) => void, stop: () => void) => {
  const longest = Math.max(0, ...stops.map((word) => word.length - 1))
  let held = ""
  let ended = false
  const add = (text: string): void => {
    if (ended) return
    held += text
    const found = stops.map((word) => held.indexOf(word)).filter((at) => at !== -1)
    if (found.length > 0) {
      ended = true
      held = held.slice(0, Math.min(...found))
      return stop()
    }
    const sure = held.length - longest
    if (sure <= 0) return
    write(held.slice(0, sure))
    held = held.slice(sure)
  }
  const flush = (): void => {
    if (held !== "") write(held)
    held = ""
  }
  return { add, flush }
}

/** How the next token is chosen, in the library's words. */
const choice = (settings: Settings): object => {
  const temperature = numberAt(settings, "temperature")
  const top_p = numberAt(settings, "top_p")
  if (temperature === undefined && top_p === undefined) return {}
  if (temperature === 0) return { do_sample: false }
  return {
    do_sample: true,
    ...(temperature === undefined ? {} : { temperature }),
    ...(top_p === undefined ? {} : { top_p })
  }
}

const promptOf = (tokenizer: Tokenizer, { messages }: TextRequest) => {
  const plain = messages.map(({ content, role }) => ({ role, content: textOf(content) }))
  // A model that was not taught to talk goes on with what it is given.
  if (typeof tokenizer.chat_template !== "string" && !Array.isArray(tokenizer.chat_template)) {
    return tokenizer([plain.map(({ content }) => content).join("\n")], {})
  }
  const prompt = tokenizer.apply_chat_template(plain, { tokenize: false, add_generation_prompt: true })
  return tokenizer([prompt], { add_special_tokens: false })
}

const roomOf = (model: Model): number => {
  const { max_position_embeddings: most, n_positions: other } = model.config
  return typeof most === "number" ? most : typeof other === "number" ? other : Infinity
}

interface Written {
  readonly finish: "stop" | "length"
  readonly tokens: { readonly input: number; readonly output: number }
}

const generated = async (
  loaded: { readonly charge: Charge; readonly library: Library; readonly tokenizer: Tokenizer; readonly model: Model },
  request: TextRequest,
  running: Running,
  write: (text: string) => void
): Promise<Written> => {
  const { charge, library, model, tokenizer } = loaded
  const { settings = {} } = request
  refuse(settings)
  const inputs = promptOf(tokenizer, request)
  const input = inputs.input_ids.dims.at(-1) ?? 0
  const room = roomOf(model)
  if (input >= room) throw new Refused(`the messages have ${input} tokens, and the model takes ${room}; send less`)
  const wanted = numberAt(settings, "max_completion_tokens", "max_tokens") ?? charge.maxTokens
  const most = Math.min(Math.max(1, Math.floor(wanted)), room - input)
  const end = new library.InterruptableStoppingCriteria()
  running.onCancel = () => end.interrupt()
  let output = 0
  let stopped = false
  const { add, flush } = writer(stopsOf(settings), write, () => {
    stopped = true
    end.interrupt()
  })
  const streamer = new library.TextStreamer(tokenizer, {
    skip_prompt: true,
    skip_special_tokens: true,
    callback_function: add,
    token_callback_function: () => void output++
  })
  await model.generate({
    ...inputs,
    ...choice(settings),
    max_new_tokens: most,
    streamer,
    stopping_criteria: [end]
  })
  flush()
  return { finish: !stopped && output >= most ? "length" : "stop", tokens: { input, output } }
}

export const chat = (charge: Charge, library: Library, tokenizer: Tokenizer, model: Model): Answering => {
  const loaded = { charge, library, tokenizer, model }
  return async (request, stream, running) => {
    let text = ""
    const part = (part: ChatPart): void => running.part(part)
    const write = (more: string): void => {
      if (stream) part({ text: more, delta: { content: more } })
      else text += more
    }
    const { finish, tokens } = await generated(loaded, request as TextRequest, running, write)
    if (running.cancelled()) return undefined
    if (!stream) return { text, finish, message: { role: "assistant", content: text }, tokens }
    part({ finish, delta: {}, tokens })
    return undefined
  }
}
