// The codes that let people in: each works once, survives a restart until then, and is readable for its owner only.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import { readFileSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import * as Pairing from "../src/channels/Pairing.ts"
import { temporaryFolder } from "./harness.ts"

describe("pairing", () => {
  it.effect("W5: a code lets one person in, for good, and is worth nothing afterwards", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const code = () => readFileSync(join(folder, "telegram-code"), "utf8").trim()
      const first = Pairing.make(folder, Pairing.telegram)
      assert.deepStrictEqual(yield* first.paired, [])
      const given = code()
      assert.match(given, /^[0-9A-HJKMNP-TV-Z]{8}$/)
      assert.strictEqual(statSync(join(folder, "telegram-code")).mode & 0o077, 0)
      const restarted = Pairing.make(folder, Pairing.telegram)
      assert.deepStrictEqual(yield* restarted.paired, [])
      assert.strictEqual(code(), given)
      assert.isFalse(yield* restarted.redeem("00000000", 42))
      assert.isFalse(yield* restarted.redeem("", 42))
      assert.isTrue(yield* restarted.redeem(given, 42))
      assert.notStrictEqual(code(), given)
      assert.isFalse(yield* restarted.redeem(given, 43))
      const other = code()
      assert.isTrue(yield* restarted.redeem(other, 43))
      // What is delivered again after a crash is known as the code that it was, for that person only.
      const later = Pairing.make(folder, Pairing.telegram)
      assert.deepStrictEqual(
        [
          yield* later.redeemed(given, 42),
          yield* later.redeemed(other, 43),
          yield* later.redeemed(given, 43),
          yield* later.redeemed("00000000", 42)
        ],
        [true, true, false, false]
      )
      assert.strictEqual(statSync(join(folder, "telegram-used.json")).mode & 0o077, 0)
      assert.deepStrictEqual(yield* Pairing.make(folder, Pairing.telegram).paired, [42, 43])
    }).pipe(Effect.scoped)
  )

  it.effect("W5: a list that somebody has edited badly lets nobody in, says so, and is kept beside the new one", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const list = join(folder, "slack-paired.json")
      writeFileSync(list, '["UKIM", "ULEE",]')
      const lines: Array<string> = []
      const logger = Logger.make(({ logLevel, message }) => void (logLevel === "Error" && lines.push(String(message))))
      const pairing = Pairing.make(folder, Pairing.slack)
      assert.deepStrictEqual(yield* pairing.paired.pipe(Effect.provide(Logger.layer([logger]))), [])
      assert.strictEqual(lines.length, 1)
      assert.match(lines[0] ?? "", /slack-paired\.json" is no list of ids; correct it and restart$/)
      const code = readFileSync(join(folder, "slack-code"), "utf8").trim()
      assert.isTrue(yield* pairing.redeem(code, "UMAX"))
      assert.deepStrictEqual(yield* Pairing.make(folder, Pairing.slack).paired, ["UMAX"])
      assert.strictEqual(readFileSync(`${list}.broken`, "utf8"), '["UKIM", "ULEE",]')
      // One that stands in no list is nobody's id.
      writeFileSync(list, '["UMAX", "../x", 7, null]')
      assert.deepStrictEqual(yield* Pairing.make(folder, Pairing.slack).paired, ["UMAX"])
    }).pipe(Effect.scoped)
  )
})
