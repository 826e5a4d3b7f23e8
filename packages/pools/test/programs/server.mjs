// A server that speaks as OpenAI does and holds no model: it is healthy after a while, and misbehaves as it is asked to, at
// its start by its first argument and later by what it is to embed or to go on with.
import { spawn } from "node:child_process"
import { createServer } from "node:http"

const [behaviour = "", port = "0"] = process.argv.slice(2)

/** Keeps what it is given. @type {Array<Buffer>} */
const weights = []

if (behaviour === "dies") {
  console.log("loading model.gguf")
  console.error("error: model.gguf has no tensors\nexiting")
  process.exit(3)
}
if (behaviour === "stubborn") process.on("SIGTERM", () => {})
if (behaviour === "large") weights.push(Buffer.alloc(200_000_000, 1))

/** Processes in its own group and in one of their own. */
const start = () => {
  const idle = ["-e", "setInterval(() => {}, 1000)"]
  const inside = spawn(process.execPath, idle, { stdio: "ignore" })
  const outside = spawn(process.execPath, idle, { stdio: "ignore", detached: true })
  return [process.pid, inside.pid, outside.pid]
}

/** @param {import("node:http").ServerResponse} response @param {number} status @param {object} body */
const send = (response, status, body) => {
  response.writeHead(status, { "content-type": "application/json" })
  response.end(JSON.stringify(body))
}

/** @param {import("node:http").ServerResponse} response @param {string} text */
const embed = (response, text) => {
  if (text === "hang") return
  if (text === "block") while (true) Math.sqrt(2)
  if (text === "fail") return send(response, 500, { error: { message: "CUDA error" } })
  if (text === "grow") weights.push(Buffer.alloc(200_000_000, 1))
  send(response, 200, { data: [{ embedding: text === "pids" ? start() : [process.pid] }] })
}

/** @param {import("node:http").ServerResponse} response @param {string} text */
const write = (response, text) => {
  response.writeHead(200, { "content-type": "text/event-stream" })
  for (const content of text.split(" ")) {
    if (content === "die") return void setImmediate(() => process.kill(process.pid, "SIGKILL"))
    response.write(`data: ${JSON.stringify({ choices: [{ index: 0, delta: { content }, finish_reason: null }] })}\n\n`)
  }
  response.write(`data: ${JSON.stringify({ choices: [{ index: 0, delta: {}, finish_reason: "stop" }] })}\n\n`)
  response.end("data: [DONE]\n\n")
}

let looks = 0
const server = createServer(async (request, response) => {
  let text = ""
  for await (const chunk of request) text += chunk
  const body = text === "" ? {} : JSON.parse(text)
  if (request.url === "/health" && behaviour === "plain") send(response, 404, {})
  else if (request.url === "/health") send(response, behaviour === "slow" || ++looks < 2 ? 503 : 200, {})
  else if (request.url === "/v1/models") send(response, 200, { data: [{ id: "m" }] })
  else if (request.url === "/v1/embeddings") embed(response, body.input[0])
  else write(response, body.messages[0].content)
})
console.error("loading the model")
if (behaviour !== "silent") server.listen(Number(port), "127.0.0.1")
else setInterval(() => {}, 1000)
