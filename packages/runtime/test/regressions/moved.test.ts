// The store's file goes away under a running gateway: nothing that only the process could still read is called stored.
import * as fs from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { Storage } from "../../src/Message.ts"
import { bootFile, message, storeFile } from "../journal/harness.ts"

describe("a store whose file is not where it was", () => {
  for (const [what, change] of [
    ["deleted", (file: string) => fs.rmSync(file)],
    ["moved away", (file: string) => fs.renameSync(file, `${file}.old`)],
    [
      "replaced by a copy",
      (file: string) => {
        fs.copyFileSync(file, `${file}.copy`)
        fs.renameSync(`${file}.copy`, file)
      }
    ]
  ] as const) {
    it.effect(`C1: ${what}: the message is refused, and the journal ends and says why`, () =>
      Effect.gen(function* () {
        const file = yield* storeFile
        const { journal, rows } = yield* bootFile(file)
        yield* journal.admit(message("before", { id: "m1" }))
        change(file)
        const refused = yield* Effect.flip(journal.admit(message("after", { id: "m2" })))
        assert.instanceOf(refused, Storage)
        assert.deepStrictEqual(
          rows.map((row) => row.id),
          ["m1"]
        )
        const error = yield* journal.failed
        assert.strictEqual(error.reason, "Storage")
        assert.include(error.detail, "was moved or deleted while it was in use")
      })
    )
  }
})
