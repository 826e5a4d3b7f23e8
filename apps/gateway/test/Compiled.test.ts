/**
 * Compiled code of the bundle's chunks: kept once, used by the next start, and never used when it is broken or
 * another build's.
 */
import { assert, describe, it } from "@effect/vitest"
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, beforeEach } from "vitest"
import { chunksIn } from "../src/process/Compiled.ts"

const wrapped = (code: string) => `(function (exports, require, module, __filename, __dirname) {\n${code}\n})`
const part = "part-AbCd_123.cjs"

describe("compiled code", () => {
  let folder = ""
  let cache = ""
  const add = (name: string, code: string) => writeFileSync(join(folder, name), wrapped(code))
  const chunks = () => chunksIn(folder, cache)
  const start = () => {
    const started = chunks()
    const value = (started.load("main.cjs") as { readonly answer: () => string }).answer()
    started.keep()
    return value
  }

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "sluice-compiled-"))
    cache = join(folder, "cache")
    add("main.cjs", `const part = require("./${part}"); exports.answer = () => part.word + require("node:path").sep`)
    add(part, `exports.word = (() => "first")()`)
  })
  afterEach(() => rmSync(folder, { recursive: true }))

  it("is kept for chunks whose name holds their content's hash, and used by the next start", () => {
    assert.strictEqual(start(), "first/")
    assert.deepStrictEqual(readdirSync(cache), [part])
    const kept = readFileSync(join(cache, part))
    assert.strictEqual(start(), "first/")
    assert.deepStrictEqual(readFileSync(join(cache, part)), kept)
  })

  it("that is broken, cut short or another V8's is made again", () => {
    start()
    const kept = readFileSync(join(cache, part))
    const flipped = Buffer.from(kept)
    flipped.writeUInt8(flipped.readUInt8(60) ^ 0xff, 60)
    const foreign = Buffer.alloc(64)
    for (const bytes of [flipped, kept.subarray(0, 100), Buffer.alloc(0), foreign]) {
      writeFileSync(join(cache, part), bytes)
      assert.strictEqual(start(), "first/")
      assert.strictEqual(readFileSync(join(cache, part)).length, kept.length)
      assert.strictEqual(start(), "first/")
    }
  })

  it("that can't be written is done without", () => {
    writeFileSync(cache, "a file where the folder should be")
    assert.strictEqual(start(), "first/")
    assert.strictEqual(readFileSync(cache, "utf8"), "a file where the folder should be")
  })

  it("a chunk runs once, also when chunks need each other, and one that fails says where", () => {
    add("main.cjs", `exports.early = 1; exports.other = require("./b-12345678.cjs").seen; exports.answer = () => ""`)
    add("b-12345678.cjs", `exports.seen = require("./main.cjs").early`)
    assert.deepInclude(chunks().load("main.cjs") as object, { early: 1, other: 1 })
    add("broken.cjs", "\nthrow new Error('no')")
    const caught = (() => {
      try {
        return chunks().load("broken.cjs")
      } catch (error) {
        return (error as Error).stack
      }
    })()
    assert.include(String(caught), `${join(folder, "broken.cjs")}:2:`)
  })
})
