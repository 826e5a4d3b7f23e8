// A program that ends with the code that it is told, as the gateway does, and counts its generations.
import process from "node:process"
import { leave } from "../../src/process/Restart.ts"
import { record } from "../../src/process/SignalRecorder.ts"

const recorder = record()
const generation = Number(process.env["GENERATION"] ?? "1")
process.env["GENERATION"] = String(generation + 1)
const [code = "75", last = "3"] = process.argv.slice(2)

const end = () => leave(generation < Number(last) ? 75 : Number(code), recorder)
// Heard after the recorder: a late stop is written down by then.
process.on("SIGTERM", () => void end())
process.stdin.on("data", () => void end())
process.stdout.write(`generation ${generation} pid ${process.pid} argument ${process.argv[3] ?? ""}\n`)
