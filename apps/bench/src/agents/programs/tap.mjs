// A real agent's program with a tap on its pipes: it starts the program that it is given, hands on what goes in and out
// unchanged, and writes down when a prompt came and when its answer left. Whoever starts it, a gateway or a benchmark,
// has the same program behind it.
import { spawn } from "node:child_process"
import { markOf, now, stamp } from "./stamp.mjs"

/** @typedef {Record<string, any>} Message */

/**
 * How a protocol is read: the text of a prompt, a piece of an answer, its end.
 * @type {Record<string, { prompt: (message: Message) => string | undefined, isText: (message: Message) => boolean,
 *   isEnd: (message: Message, prompt: Message) => boolean }>}
 */
const protocols = {
  "claude-code": {
    prompt: (message) => (message["type"] === "user" ? JSON.stringify(message["message"]) : undefined),
    isText: (message) => message["type"] === "stream_event" && message["event"]?.delta?.type === "text_delta",
    isEnd: (message) => message["type"] === "result"
  },
  acp: {
    prompt: (message) =>
      message["method"] === "session/prompt" ? JSON.stringify(message["params"].prompt) : undefined,
    isText: (message) => message["params"]?.update?.sessionUpdate === "agent_message_chunk",
    isEnd: (message, prompt) => message["method"] === undefined && message["id"] === prompt["id"]
  }
}

const [file, name = "", program = "", ...args] = process.argv.slice(2)
const protocol = protocols[name]
if (protocol === undefined) throw new Error(`no protocol "${name}"`)

/** @param {(message: Message, at: number) => void} see */
const lines = (see) => {
  let held = ""
  return (/** @type {Buffer | string} */ chunk, /** @type {number} */ at) => {
    const all = (held + chunk.toString()).split("\n")
    held = all.pop() ?? ""
    for (const line of all) if (line.startsWith("{")) see(JSON.parse(line), at)
  }
}

const child = spawn(program, args, { stdio: ["pipe", "pipe", "inherit"] })
process.stdin.setEncoding("utf8")
child.stdout.setEncoding("utf8")
/** @type {{ message: Message, turn: string | undefined, seen: number, first?: number } | undefined} */
let running
const going = lines((message, at) => {
  const text = protocol.prompt(message)
  if (text !== undefined) running = { message, turn: markOf(text), seen: at }
})
const coming = lines((message, at) => {
  if (running === undefined) return
  if (protocol.isText(message)) running.first ??= at
  if (!protocol.isEnd(message, running.message)) return
  stamp(file, { turn: running.turn, seen: running.seen, first: running.first ?? at, said: at })
  running = undefined
})
// Handed on before it is looked at: the tap is in nobody's way.
process.stdin.on("data", (chunk) => {
  const at = now()
  child.stdin.write(chunk)
  going(chunk, at)
})
process.stdin.on("end", () => child.stdin.end())
child.stdin.on("error", () => child.stdin.destroy())
child.stdout.on("data", (chunk) => {
  const at = now()
  process.stdout.write(chunk)
  coming(chunk, at)
})
child.on("exit", (code) => process.exit(code ?? 1))
