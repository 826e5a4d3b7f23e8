// Where `sluice chat` says that a file of an answer is: on this machine, or where it can be had.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { whereFile } from "../src/tools/Chat.ts"
import { temporaryFolder } from "./harness.ts"

describe("a file of an answer", () => {
  it.live("W1, W4: is told by its path where it lies here, else by its address; no hash of somebody's is a path", () =>
    Effect.gen(function* () {
      const stateDirectory = yield* temporaryFolder
      mkdirSync(join(stateDirectory, "attachments"))
      writeFileSync(join(stateDirectory, "attachments", "0".repeat(64)), "text")
      writeFileSync(join(stateDirectory, "token"), "secret")
      const where = whereFile({ stateDirectory }, "http://127.0.0.1:4747")
      const told = (hash: string, name?: string) => where({ hash, size: 4, ...(name === undefined ? {} : { name }) })
      assert.strictEqual(told("0".repeat(64), "a.md"), join(stateDirectory, "attachments", "0".repeat(64)))
      const gone = `http://127.0.0.1:4747/v1/attachments/${"1".repeat(64)}`
      assert.strictEqual(told("1".repeat(64)), gone)
      assert.strictEqual(told("1".repeat(64), "a b.md"), `${gone}?name=a%20b.md`)
      assert.strictEqual(told("../token"), "http://127.0.0.1:4747/v1/attachments/..%2Ftoken")
    }).pipe(Effect.scoped)
  )
})
