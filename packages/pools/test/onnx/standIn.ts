// A stand-in for the library that runs ONNX models, in a folder as npm would leave it: it embeds, and breaks its thread in
// every way that a text asks it to. What is tested with it is the thread, not the model.
import * as Models from "./models.ts"

const code = `
const { createServer } = require("node:net")
const { threadId } = require("node:worker_threads")
const kept = []
const tensor = (rows) => ({ type: "float32", dims: [rows.length, rows[0].length], data: rows.flat() })
const port = () => new Promise((resolve) => {
  const server = createServer().listen(0, "127.0.0.1", () => resolve(server.address().port))
})
const rowOf = async (text) => {
  if (text === "exit") process.exit(5)
  if (text === "throw") { setImmediate(() => { throw new Error("out of the blue") }); await new Promise(() => {}) }
  if (text === "fail") throw new Error("the model failed")
  if (text === "heap") for (;;) kept.push(Array.from({ length: 100000 }, (_, n) => ({ n })))
  if (text === "hang") await new Promise(() => {})
  if (text === "loop") for (;;) Math.sqrt(2)
  if (text === "grow") kept.push(Buffer.alloc(200000000, 1))
  if (text === "nonsense") return [NaN]
  return [text === "port" ? await port() : threadId]
}
const model = async ({ texts }) => ({ sentence_embedding: tensor(await Promise.all(texts.map(rowOf))) })
exports.env = {}
exports.AutoTokenizer = {
  from_pretrained: async () => (texts) => ({ texts, attention_mask: { data: texts.map(() => 1), dims: [texts.length, 1] } })
}
exports.AutoModel = {
  from_pretrained: async (folder) => {
    if (folder.includes("stuck")) for (;;) Math.sqrt(2)
    console.log("loaded")
    return model
  }
}
`

const home = "node_modules/@huggingface/transformers"

/** A folder that has it. */
export const library = Models.folder({
  [`${home}/package.json`]: { name: "@huggingface/transformers", version: "0.0.0", main: "index.js" },
  [`${home}/index.js`]: Buffer.from(code)
})
