// What an agent is told of the files that came with messages: where each is, and which are gone. A row knows only hashes.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { Attachments } from "../src/Attachments.ts"
import { makeFiles } from "../src/internal/session/files.ts"
import { Attachment, Storage } from "../src/Message.ts"
import { turnOf } from "../src/testing/agentConformance.ts"

const there = "ab".repeat(32)
const broken = "cd".repeat(32)
const gone = "ef".repeat(32)

const unused = Effect.die(new Error("is not used here"))

const store = Attachments.of({
  put: () => unused,
  remove: () => unused,
  read: () => unused,
  sweep: () => unused,
  find: (hash) =>
    hash === broken
      ? Effect.fail(new Storage({ retryAfter: 1, cause: "the disk" }))
      : Effect.succeed(hash === there ? 3 : undefined),
  path: (hash) => `/files/${hash}`
})

const file = (hash: string, more: { readonly path?: string; readonly missing?: boolean } = {}) =>
  new Attachment({ hash, size: 3, type: "image/png", name: "a.png", ...more })

const turn = (...hashes: ReadonlyArray<string>) => {
  const plain = turnOf(["look"])
  return {
    ...plain,
    messages: plain.messages.map((message) => ({ ...message, attachments: hashes.map((hash) => file(hash)) }))
  }
}

describe("files of messages", () => {
  it.effect(
    "D33: have their path; one without its file is presented as missing, one that can't be looked for is not",
    () =>
      Effect.gen(function* () {
        const files = yield* makeFiles
        const given = turn(there, gone, broken)
        const { context, messages } = yield* files.ofTurn({ ...given, context: given.messages })
        const expected = [
          file(there, { path: `/files/${there}` }),
          file(gone, { missing: true }),
          file(broken, { path: `/files/${broken}` })
        ]
        assert.deepStrictEqual(messages[0]?.attachments, expected)
        assert.deepStrictEqual(context?.[0]?.attachments, expected)
      }).pipe(Effect.provideService(Attachments, store))
  )

  it.effect("a turn without files is given as it is, and one of a gateway without a store too", () =>
    Effect.gen(function* () {
      const plain = turnOf(["hello"])
      const given = turn(there)
      const files = yield* makeFiles
      assert.strictEqual(yield* files.ofTurn(plain), plain)
      assert.deepStrictEqual(yield* files.ofTurn(given), given)
      const stored = yield* Effect.provideService(makeFiles, Attachments, store)
      assert.strictEqual(yield* stored.ofTurn(plain), plain)
    })
  )
})
