/**
 * The agent of kind `claude-code`: what the gateway relies on of the Claude Code CLI.
 * Stream-json in both directions, one process for a session, a transcript of each
 * conversation below its configuration folder, written a moment later than it knows. The
 * end of its input lets a turn finish, an interrupt ends it, a message is never answered
 * twice under one id, and a conversation is found again by its own.
 */
import * as Fs from "node:fs"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { die, flood, isFirst, noise, Orders, Run, work } from "./doings.mjs"
import { conversationOf, idOf, messagesIn } from "./words.mjs"

const argv = process.argv.slice(2)
/** @param {string} name */
const after = (name) => argv[argv.indexOf(name) + 1] ?? ""
const resumed = argv.includes("--resume")
const session = after(resumed ? "--resume" : "--session-id")
const folder = join(process.env["CLAUDE_CONFIG_DIR"] ?? ".", "projects", process.cwd().replace(/[^a-zA-Z0-9]/g, "-"))
const transcript = join(folder, `${session}.jsonl`)

/** @param {string} words */
const refuse = (words) => {
  Fs.writeSync(2, `${words}\n`)
  process.exit(1)
}
if (resumed && !Fs.existsSync(transcript)) refuse(`No conversation found with session ID: ${session}`)
if (!resumed && Fs.existsSync(transcript)) refuse(`Error: Session ID ${session} is already in use.`)

/** What it was told and what it has said. */
/** @typedef {{ type: string, uuid?: string, message?: { content: ReadonlyArray<{ text?: string }> } }} Entry */

/** Ids of messages that it was told, in this process or an earlier one. @type {Set<string>} */
const known = new Set()
/** The messages of the last one, with those of what it carried on with. @type {ReadonlyArray<string>} */
let last = []
/** Whose conversation it is, known from its first message on. @type {string | undefined} */
let whose

const cutOff = "[Your answer to the message before was cut off."

/** Takes note of something that it was told. @param {string} uuid @param {ReadonlyArray<string>} blocks */
const told = (uuid, blocks) => {
  known.add(uuid)
  const texts = messagesIn(blocks)
  last = blocks.some((block) => block.startsWith(cutOff)) ? [...last, ...texts] : texts
  whose ??= conversationOf(idOf(last[0] ?? "") ?? "")
}

if (resumed) {
  for (const line of Fs.readFileSync(transcript, "utf8").split("\n")) {
    if (!line.includes('"type":"user"')) continue
    /** @type {Entry} */
    const { message, uuid } = JSON.parse(line)
    const blocks = message?.content.map(({ text = "" }) => text) ?? []
    if (uuid !== undefined && !blocks.includes("[Request interrupted by user]")) told(uuid, blocks)
  }
}

/** What the transcript does not have yet. @type {Array<{ entry: object, written: () => void }>} */
let late = []
const flush = () => {
  const now = late
  late = []
  if (now.length === 0) return
  Fs.mkdirSync(folder, { recursive: true })
  Fs.appendFileSync(transcript, now.map(({ entry }) => `${JSON.stringify(entry)}\n`).join(""))
  for (const { written } of now) written()
}
process.on("exit", flush)

/** Writes to the transcript, a moment later. @param {object} entry @param {() => void} [written] */
const write = (entry, written = () => {}) => {
  late.push({ entry: { ...entry, sessionId: session, isSidechain: false, cwd: process.cwd() }, written })
  setTimeout(flush, 15)
}

process.stdout.on("error", () => undefined)
/** @param {object} message */
const say = (message) => process.stdout.write(`${JSON.stringify({ ...message, session_id: session })}\n`)
/** @param {object} event */
const stream = (event) => say({ type: "stream_event", parent_tool_use_id: null, event })
/** @param {string} text */
const piece = (text) => stream({ type: "content_block_delta", index: 0, delta: { type: "text_delta", text } })

/** @param {string} uuid @param {object} more */
const result = (uuid, more) =>
  say({ type: "result", usage: { input_tokens: 1, output_tokens: 2 }, user_message_uuids: [uuid], ...more })

/** The run, and what tells it to stop. @type {{ run: Run, stop: () => void } | undefined} */
let running
/** The input has ended. */
let alone = false
/** Requests that are answered when it listens again. @type {Array<string>} */
const unheard = []

/** @param {string} id */
const respond = (id) =>
  say({ type: "control_response", response: { subtype: "success", request_id: id, response: {} } })

/** @param {Run} run @param {string} uuid */
const answer = async (run, uuid) => {
  const { orders } = run
  const id = `msg_${run.id}`
  const middle = run.answer.length >> 1
  stream({ type: "message_start", message: { id, model: "torture" } })
  stream({ type: "content_block_start", index: 0, content_block: { type: "text", text: "" } })
  if (orders.told("garbage")) process.stdout.write(Buffer.concat([noise, Buffer.from("\n")]))
  piece(run.answer.slice(0, middle))
  if (orders.toldFirst("half")) {
    setImmediate(die)
    await new Promise(() => {})
  }
  run.ends("ok")
  piece(run.answer.slice(middle))
  if (orders.told("flood")) {
    for (const text of flood()) {
      if (!piece(text) && !alone) await new Promise((resolve) => process.stdout.once("drain", resolve))
    }
  }
  const content = [{ type: "text", text: run.answer }]
  const message = { id, model: "torture", role: "assistant", content }
  write({ type: "assistant", message: { ...message, stop_reason: "end_turn" } }, () => run.stored())
  say({ type: "assistant", parent_tool_use_id: null, message: { ...message, stop_reason: null } })
  result(uuid, { subtype: "success", is_error: false, stop_reason: "end_turn", result: run.answer })
}

/** @param {string} uuid @param {ReadonlyArray<{ text?: string }>} content */
const onMessage = async (uuid, content) => {
  if (known.has(uuid)) return
  // Nothing of a run that is over is told beside the next one.
  flush()
  told(
    uuid,
    content.map(({ text = "" }) => text)
  )
  Fs.mkdirSync(folder, { recursive: true })
  Fs.appendFileSync(transcript, `${JSON.stringify({ type: "queue-operation", operation: "enqueue" })}\n`)
  write({ type: "user", uuid, message: { role: "user", content } })
  const run = new Run("claude-code", whose ?? "", new Orders(last, last.filter(isFirst)), session)
  const stopped = new Promise((resolve) => {
    running = { run, stop: () => (run.orders.deaf ? undefined : resolve(undefined)) }
  })
  say({ type: "command_lifecycle", command_uuid: uuid, state: "started" })
  say({ type: "user", uuid, isReplay: true, message: { role: "user", content }, parent_tool_use_id: null })
  if (await work(run, stopped)) await answer(run, uuid)
  else {
    run.ends("fail")
    const text = "[Request interrupted by user]"
    write({ type: "user", uuid: crypto.randomUUID(), message: { role: "user", content: [{ type: "text", text }] } })
    result(uuid, { subtype: "error_during_execution", is_error: true, errors: ["interrupted"] })
  }
  run.close()
  running = undefined
  unheard.splice(0).forEach(respond)
  if (alone) process.exit(0)
}

/** @param {string} id @param {string} subtype */
const onRequest = (id, subtype) => {
  if (subtype === "interrupt" && running?.run.orders.deaf === true) {
    unheard.push(id)
    return
  }
  if (subtype === "interrupt") running?.stop()
  respond(id)
}

process.on("SIGTERM", () => {
  if (running?.run.orders.deaf === true) return
  running?.run.ends("fail")
  process.exit(143)
})

const lines = createInterface({ input: process.stdin })
lines.on("line", (line) => {
  const message = JSON.parse(line)
  if (message.type === "user") void onMessage(message.uuid, message.message.content)
  if (message.type === "control_request") onRequest(message.request_id, message.request.subtype)
})
lines.on("close", () => {
  alone = true
  if (running === undefined) process.exit(0)
})
