// A CLI that a test can make odd: it speaks stream-json as the real one does, and its first argument says what is wrong
// with it. A message is said back; "hang" is not, "fail" is refused by its provider. It keeps a transcript as the real
// one does, in the folder that its environment names.
import { spawn } from "node:child_process"
import { appendFileSync, mkdirSync, writeSync } from "node:fs"
import { join } from "node:path"
import { createInterface } from "node:readline"

const [mode = "", ...argv] = process.argv.slice(2)
/** Synchronous: what is said before an exit is heard. @param {unknown} message */
const say = (message) => writeSync(1, `${JSON.stringify(message)}\n`)
/** @param {string} name */
const after = (name) => argv[argv.indexOf(name) + 1]
const session_id = argv.includes("--resume") ? after("--resume") : after("--session-id")

if (mode === "exits") {
  writeSync(2, "no space left on device\n")
  process.exit(3)
}
if (mode === "old") {
  writeSync(2, "error: unknown option '--replay-user-messages'\n")
  process.exit(1)
}
if (mode === "unknown conversation") {
  writeSync(2, `No conversation found with session ID: ${session_id}\n`)
  process.exit(1)
}
if (mode === "garbage") {
  for (;;) writeSync(1, "Welcome to something else entirely!\n")
}
if (mode === "one line") writeSync(1, "x".repeat(33 * 1024 * 1024))
if (mode === "another program") {
  writeSync(1, "usage: claude [--frobnicate]\n")
  process.exit(0)
}
if (mode === "banner") writeSync(1, "(node:1) Warning: something is deprecated\n\n[]\n42\n{}\n")
if (mode === "deaf") process.on("SIGTERM", () => {})

const folder = join(process.env["CLAUDE_CONFIG_DIR"] ?? ".", "projects", "made-up")
/** @param {unknown} entry */
const write = (entry) => {
  mkdirSync(folder, { recursive: true })
  appendFileSync(join(folder, `${session_id}.jsonl`), `${JSON.stringify(entry)}\n`)
}

/** @typedef {{ uuid: string, message: { content: string | Array<{ text?: string }> } }} User */
/** @param {User["message"]} message */
const textOf = ({ content }) => (typeof content === "string" ? content : (content.at(-1)?.text ?? ""))
/** @type {string} */
let current = ""

/** @param {string} uuid @param {object} more */
const result = (uuid, more = {}) =>
  say({
    type: "result",
    subtype: "success",
    is_error: false,
    session_id,
    usage: { input_tokens: 1, output_tokens: 2 },
    ...(mode === "older" ? {} : { user_message_uuids: [uuid] }),
    ...more
  })

/** @param {unknown} event */
const stream = (event) => say({ type: "stream_event", event, session_id, parent_tool_use_id: null })

/** @param {string} text */
const speak = (text) => {
  stream({ type: "message_start", message: { id: "m1", model: "made-up" } })
  stream({ type: "content_block_start", index: 0, content_block: { type: "text", text: "" } })
  const middle = Math.ceil(text.length / 2)
  for (const piece of [text.slice(0, middle), text.slice(middle)]) {
    stream({ type: "content_block_delta", index: 0, delta: { type: "text_delta", text: piece } })
  }
  say({ type: "assistant", message: { id: "m1", role: "assistant", content: [{ type: "text", text }] }, session_id })
}

/** What a later version could add, and what a broken one could leave out. */
const strange = () => {
  say({ type: "a_type_of_next_year", payload: { deep: [1, null, { type: "text" }] } })
  say({ type: "system" })
  say({ type: "system", subtype: 7, status: null })
  say({ type: "stream_event" })
  say({ type: "stream_event", event: null, parent_tool_use_id: null })
  say({
    type: "stream_event",
    event: { type: "content_block_delta", delta: { type: "thinking_delta", thinking: "hm" } }
  })
  say({ type: "assistant", message: { content: [null, 4, { type: "text" }, { type: "tool_use" }, { type: "next" }] } })
  say({ type: "user", message: { content: [{ type: "tool_result", tool_use_id: 5 }, { type: "tool_result" }] } })
  say({ type: "control_request" })
  say({ type: "control_request", request_id: "r1", request: { subtype: "of_next_year" } })
  say({ type: "control_response", response: { request_id: "nobody asked" } })
  say({ type: "control_cancel_request" })
  writeSync(1, "not json at all\n")
}

/** @param {string} uuid @param {string} text */
const answer = (uuid, text) => {
  write({ type: "user", uuid, message: { role: "user", content: text } })
  if (mode !== "older") say({ type: "command_lifecycle", command_uuid: uuid, state: "started" })
  say({ type: "user", uuid, isReplay: true, message: { role: "user", content: text }, session_id })
  if (text === "hang") return speak("I begin")
  if (text === "fail") {
    say({ type: "assistant", error: "server_error", message: { content: [{ type: "text", text: "API Error" }] } })
    return result(uuid, { is_error: true, api_error_status: 500, result: "API Error" })
  }
  if (mode === "hands over and exits") {
    // What it says last comes from a child of it, a moment after its own end.
    const last = JSON.stringify({ type: "result", subtype: "success", is_error: false, result: text })
    spawn("/bin/sh", ["-c", `sleep 0.1; printf '%s\\n' "$0"`, last], {
      stdio: ["ignore", 1, 2],
      detached: true
    }).unref()
    return process.exit(0)
  }
  if (mode === "dies") {
    speak("so far")
    writeSync(2, "Segmentation fault\n")
    process.exit(139)
  }
  if (mode === "strange") strange()
  if (mode === "mutters") for (let n = 0; n < 800; n++) writeSync(2, "x".repeat(65_536))
  if (mode === "noise") for (;;) writeSync(1, `noise ${"x".repeat(4096)}\n`)
  if (mode === "older") {
    say({ type: "assistant", message: { id: "m1", content: [{ type: "text", text }] }, session_id })
  } else if (mode === "only the result") {
    return result(uuid, { result: text })
  } else {
    speak(text)
  }
  write({ type: "assistant", message: { id: "m1", content: [{ type: "text", text }], stop_reason: "end_turn" } })
  return result(uuid, { result: text })
}

/** @param {User} message */
const onUser = ({ uuid, message }) => {
  current = uuid
  const said = textOf(message)
  const text = said === "environment" ? JSON.stringify(process.env) : said
  if (mode === "by itself") {
    // A turn that nobody asked for: it began before ours, and has a result of its own.
    speak("nobody asked for this")
    result("11111111-1111-4111-8111-111111111111", { result: "nobody asked for this" })
  }
  answer(uuid, text)
}

/** @param {string} id @param {{ subtype: string }} request */
const onRequest = (id, request) => {
  if (mode === "silent" || mode === "deaf and mute") return
  if (mode === "deaf" && request.subtype === "interrupt") return
  say({ type: "control_response", response: { subtype: "success", request_id: id, response: {} } })
  if (request.subtype === "interrupt") {
    // Said after it was told to stop: nobody hears it any more.
    speak("too late")
    result(current, { subtype: "error_during_execution", is_error: true, errors: ["interrupted"] })
  }
}

const lines = createInterface({ input: process.stdin })
lines.on("line", (line) => {
  const message = JSON.parse(line)
  if (message.type === "user") onUser(message)
  if (message.type === "control_request") onRequest(message.request_id, message.request)
})
// The deaf one goes on after the end of its input, for a while.
lines.on("close", () => (mode === "deaf" ? setTimeout(() => {}, 60_000) : process.exit(0)))
