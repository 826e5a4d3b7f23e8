// A program that answers in lines of JSON, and misbehaves as it is asked to.
import { spawn } from "node:child_process"
import { createInterface } from "node:readline"

/** @param {object} message */
const say = (message) => process.stdout.write(`${JSON.stringify(message)}\n`)
const [behaviour = ""] = process.argv.slice(2)

if (behaviour === "stubborn") {
  process.on("SIGTERM", () => {})
  setInterval(() => {}, 1000)
}
if (behaviour === "chatty") console.log("Loading weights ...")
if (behaviour === "missing") {
  console.error("cannot open model.bin")
  process.exit(3)
}

const lines = createInterface({ input: process.stdin })
/** @param {string} id @param {string} request */
const answer = (id, request) => {
  if (request === "die") process.exit(7)
  else if (request === "refuse") say({ id, error: "not with me", refused: true })
  else if (request === "lie") say({ id, answer: { not: "a text" } })
  else if (request === "deep") process.stdout.write(`{"id":"${id}","answer":${"[".repeat(5000)}${"]".repeat(5000)}}\n`)
  else if (request === "pids") {
    const child = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"], { stdio: "ignore" })
    say({ id, answer: `${process.pid} ${child.pid}` })
  } else if (request !== "hang") {
    say({ id, answer: `${request} ${process.env.SECRET ?? "without"} ${process.env.OWN ?? ""}`.trim() })
  }
}

/** @param {string} id @param {string} request */
const write = (id, request) => {
  for (const part of request.split(" ")) {
    if (part === "die") process.exit(7)
    if (part === "hang") return
    say({ id, part })
  }
  say({ id, end: true })
}

/** @param {string} line */
const hear = (line) => {
  const { cancel, id, request, stream } = JSON.parse(line)
  if (cancel === undefined) (stream ? write : answer)(id, request)
  else if (behaviour !== "stubborn") say({ id: cancel, end: true })
}

lines.on("line", hear)
say({ ready: true, concurrency: 2 })
