/**
 * The agent of kind `command`: one process per turn, started by the gateway with the turn
 * on its standard input. What it prints is its answer, which names the run and the
 * messages, so that a far side's record alone says what was answered and by whom.
 */
import * as Fs from "node:fs"
import { die, noise, Orders, Run, work } from "./doings.mjs"

/** @typedef {{ conversation: string, turn: string, attempt: number, messages: ReadonlyArray<{ text: string }> }} Document */

// `process` is not imported: that would open the standard input and make the read below fail for a long document.
/** @type {Document} */
const turn = JSON.parse(Fs.readFileSync(0, "utf8"))
const texts = turn.messages.map(({ text }) => text)
const orders = new Orders(texts, turn.attempt === 1 ? texts : [])

process.on("SIGTERM", () => {
  if (orders.deaf) return
  run.ends("fail")
  process.exit(143)
})

const run = new Run("command", turn.conversation, orders)
await work(run, new Promise(() => {}))
if (orders.toldFirst("half")) {
  Fs.writeSync(1, run.answer.slice(0, run.answer.length >> 1))
  die()
}
run.ends("ok")
if (orders.told("flood")) {
  // More than anybody takes: the gateway cuts it at its limit and stops this program.
  process.stdout.on("error", () => process.exit(1))
  for (let piece = `${run.answer}\n`; process.stdout.writable; piece = `${"x".repeat(8192)}\n`) {
    if (!process.stdout.write(piece)) await new Promise((resolve) => process.stdout.once("drain", resolve))
  }
}
const around = orders.told("garbage") ? noise : Buffer.alloc(0)
process.stdout.write(Buffer.concat([around, Buffer.from(run.answer), around, Buffer.from("\n")]))
