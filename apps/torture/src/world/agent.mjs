/**
 * The agent under the gateway: one process per turn, started by the gateway as any
 * command. It writes its own account of each run, with its pid, to the history, and
 * names the run and the messages in its answer, so that a far side's record alone says
 * what was answered and by whom. How long it takes and what it does instead of
 * answering stands in the messages' texts: `#<id> slow`, `#<id> hang`, ... Misbehaviour
 * that would never end is for a turn's first attempt only, so that a world comes to rest.
 */
import { spawn } from "node:child_process"
import * as Fs from "node:fs"
import { History } from "../history/writer.mjs"

/** @typedef {{ conversation: string, turn: string, attempt: number, messages: ReadonlyArray<{ text: string }> }} Document */

// `process` is not imported: that would open the standard input and make the read below fail for a long document.
/** @type {Document} */
const turn = JSON.parse(Fs.readFileSync(0, "utf8"))
const history = History.open(process.env["TORTURE_HISTORY"] ?? "")
const texts = turn.messages.map(({ text }) => text)
const ids = texts.map((text) => /#([\w.-]+)/.exec(text)?.[1] ?? "?")
const first = turn.attempt === 1
/** @param {string} behaviour */
const told = (behaviour) => texts.some((text) => text.includes(` ${behaviour}`))

// `instance/epoch/session/turn`: which gateway began this, and for which session.
const [instance, epoch, session] = (process.env["SLUICE_MARKER"] ?? "").split("/")

/** Processes that work for the same session: an agent that was not let go, or what it left behind. */
const besides = () =>
  Fs.readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .flatMap((name) => {
      try {
        const variables = Fs.readFileSync(`/proc/${name}/environ`, "latin1").split("\0")
        const [world, , whose] =
          /^SLUICE_MARKER=([^/]*)\/(\d+)\/(\d+)\//
            .exec(variables.find((variable) => variable.startsWith("SLUICE_MARKER=")) ?? "")
            ?.slice(1) ?? []
        return world === instance && whose === session ? [Number(name)] : []
      } catch {
        // It ended while it was looked at, or is somebody else's.
        return []
      }
    })

const run = `${process.pid}-${process.hrtime.bigint()}`
const account = /** @type {const} */ ({
  op: "run",
  by: "agent",
  conversation: turn.conversation,
  run,
  pid: process.pid,
  epoch: Number(epoch),
  ids
})

/** @param {number} millis */
const pause = (millis) => new Promise((resolve) => setTimeout(resolve, millis))

const deaf = told("hang") || told("stubborn")
let answered = false
process.on("SIGTERM", () => {
  if (deaf) return
  if (!answered) history.append({ ...account, phase: "fail" })
  process.exit(143)
})

const others = besides()
history.append({ ...account, phase: "invoke", ...(others.length === 0 ? {} : { besides: others }) })
// As long as it lives, whatever it says of its end.
setInterval(() => history.append({ ...account, phase: "info" }), 150).unref()

if (told("fork") && first) {
  // A grandchild in a group of its own that listens to nothing: it must not outlive the turn.
  const nobody = "process.on('SIGTERM', () => {}); setTimeout(() => {}, 60_000)"
  spawn(process.execPath, ["-e", nobody], { detached: true, stdio: "ignore" }).unref()
}
// Longer than messages are apart: what comes meanwhile waits behind this turn.
// `first4000` is for the first attempt only: what it leaves behind is still there when the next gateway comes.
const [, firstly] = (first ? / first(\d+)/.exec(texts.join("\n")) : null) ?? []
await pause(Number(firstly ?? / work(\d+)/.exec(texts.join("\n"))?.[1] ?? (told("slow") ? 600 : 90)))
if (first && told("crash")) process.kill(process.pid, "SIGKILL")
if (first && told("exit")) {
  history.append({ ...account, phase: "fail" })
  process.exit(3)
}
if (first && told("hang")) await pause(120_000)
if (first && told("asleep")) {
  process.kill(process.pid, "SIGSTOP")
  // Woken only to be ended: the signal that says so comes first.
  await pause(5_000)
}
const [, loud] = / loud(\d+)/.exec(texts.join("\n")) ?? []
if (loud !== undefined) {
  // So many megabytes that nobody asked for, on the stream that is no answer.
  const piece = Buffer.alloc(1 << 20, "z")
  for (let n = 0; n < Number(loud); n++) {
    if (!process.stderr.write(piece)) await new Promise((resolve) => process.stderr.once("drain", resolve))
  }
}

const answer = `[[${run} ${ids.join(",")}]]`
if (first && told("half")) {
  Fs.writeSync(1, answer.slice(0, answer.length >> 1))
  process.kill(process.pid, "SIGKILL")
}
history.append({ ...account, phase: "ok" })
answered = true
if (told("flood")) {
  // More than anybody takes: the gateway cuts it at its limit and stops this program.
  process.stdout.on("error", () => process.exit(1))
  for (let piece = `${answer}\n`; process.stdout.writable; piece = `${"x".repeat(8192)}\n`) {
    if (!process.stdout.write(piece)) await new Promise((resolve) => process.stdout.once("drain", resolve))
  }
}
// Bytes that are no text in any encoding, before and after what is.
const noise = told("garbage") ? Buffer.from([0xff, 0xfe, 0xc3, 0x28, 0xed, 0xa0, 0x80, 0xf0, 0x9f]) : Buffer.alloc(0)
process.stdout.write(Buffer.concat([noise, Buffer.from(answer), noise, Buffer.from("\n")]))
