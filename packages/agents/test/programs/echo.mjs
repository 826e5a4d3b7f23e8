// Reads its turn and says back what it got; a few messages make it misbehave.
import { readFileSync } from "node:fs"

/** @type {{ text: string, attempt: number, interrupted: null | { by: string, tool: string | null }, messages: Array<{ text: string }> }} */
const turn = JSON.parse(readFileSync(0, "utf8"))
switch (turn.text) {
  case "fail":
    console.error("it went wrong: no such thing")
    process.exit(3)
    break
  case "hang":
    process.stdout.write("hanging")
    setInterval(() => {}, 60_000)
    break
  default: {
    const { by, tool } = turn.interrupted ?? {}
    const before = turn.interrupted === null ? "" : `attempt ${turn.attempt} after ${by}, ${tool ?? "no tool"}: `
    process.stdout.write(before + turn.messages.map((message) => message.text).join("\n"))
  }
}
