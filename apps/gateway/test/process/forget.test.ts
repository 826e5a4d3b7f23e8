// Q27 with a real process: what was forgotten is in no file of the state directory any more.
import { assert, describe, it } from "@effect/vitest"
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import { Journal } from "@sluice/runtime/Journal"
import * as Effect from "effect/Effect"
import { mkdirSync, readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { start, temporaryFolder, tool } from "../harness.ts"

/** Everything that stands in the state directory. This process is not the gateway: it may open its files. */
const everything = (folder: string): string =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => readFileSync(join(entry.parentPath, entry.name)).toString("latin1"))
    .join("")

/** A store with a message of somebody on Telegram. */
const place = Effect.gen(function* () {
  const folder = yield* temporaryFolder
  mkdirSync(join(folder, ".sluice"), { mode: 0o700 })
  const filename = join(folder, ".sluice", "journal.db")
  const said = Effect.gen(function* () {
    const journal = yield* Journal
    journal.listen({ rows: () => {}, replies: () => {}, ended: () => {} })
    yield* journal.admit({
      address: { channel: "telegram", account: "", peer: "42", thread: "" },
      id: undefined,
      sender: "42",
      text: "Geheimnis",
      attachments: [],
      closes: false,
      command: false,
      quiet: 0,
      atMost: 0,
      asking: undefined
    })
  })
  yield* Effect.scoped(Effect.provide(said, Journal.layer(SqliteClient.layer({ filename }))))
  return folder
})

describe("sluice forget", () => {
  it.live("Q27: what was said on a channel that is not configured any more is listed, exported and forgotten", () =>
    Effect.gen(function* () {
      const gateway = yield* start({ folder: yield* place })
      for (const [args, says] of [
        [["sessions", "--of", "telegram/42"], "telegram/42"],
        [["export", "telegram/42"], "Geheimnis"],
        [["usage", "telegram/42"], "today"],
        [["command", "telegram/42", "/timeout"], "minutes"],
        [["forget", "telegram/42", "--yes"], "telegram/42 is forgotten"]
      ] as const) {
        const { code, err, out } = yield* tool(gateway.folder, args)
        assert.strictEqual(code, 0, `${args.join(" ")}: ${err}`)
        assert.include(out, says, args.join(" "))
      }
      assert.notInclude(everything(gateway.stateDirectory), "Geheimnis")
    }).pipe(Effect.scoped)
  )

  it.live(
    "Q27: texts, answers and files of one conversation are gone from the state directory of a running gateway",
    () =>
      Effect.gen(function* () {
        const gateway = yield* start()
        const { call, send } = gateway.client
        const headers = { authorization: `Bearer ${gateway.token}`, "content-type": "text/plain" }
        const stored = yield* Effect.promise(() =>
          fetch(`${gateway.url}/v1/attachments`, { method: "POST", headers, body: "Geheimnis in a file" })
        )
        const file = (yield* Effect.promise(() => stored.json())) as { readonly hash: string }
        const attached = yield* call("/v1/conversations/kim/messages?wait=10s", {
          method: "POST",
          body: { text: "Geheimnis", sender: "kim", attachments: [{ hash: file.hash, type: "text/plain" }] }
        })
        assert.strictEqual(attached.body.ended, "replied", JSON.stringify(attached.body))
        yield* send("kim", `Geheimnis ${"and more ".repeat(3000)}`, { wait: "10s" })
        yield* send("lee", "Nachbar", { wait: "10s" })
        assert.include(everything(gateway.stateDirectory), "Geheimnis in a file")
        const asked = yield* tool(gateway.folder, ["forget", "http/kim"])
        assert.strictEqual(asked.code, 1)
        assert.include(asked.err + asked.out, "Nothing was deleted. `sluice forget http/kim --yes`")
        assert.include(everything(gateway.stateDirectory), "Geheimnis in a file")
        const forget = yield* tool(gateway.folder, ["forget", "http/kim", "--yes"])
        assert.strictEqual(forget.code, 0, forget.err)
        assert.strictEqual(forget.out.trim(), "http/kim is forgotten: 1 session, 1 file, 0 waiting messages cancelled")
        const left = everything(gateway.stateDirectory)
        assert.notInclude(left, "Geheimnis")
        assert.include(left, "Nachbar")
        const audit = yield* tool(gateway.folder, ["audit"])
        assert.strictEqual(audit.code, 0, audit.out)
        const again = yield* tool(gateway.folder, ["forget", "http/nobody", "--yes"])
        assert.notStrictEqual(again.code, 0)
        assert.include(again.err + again.out, "conversation http/nobody: there is none")
        // The bare name is one of HTTP, as in the other paths.
        const answer = yield* Effect.promise(() =>
          fetch(`${gateway.url}/v1/conversations/lee`, { method: "DELETE", headers })
        )
        assert.deepInclude(yield* Effect.promise(() => answer.json()), { conversation: "http/lee", left: [] })
        assert.notInclude(everything(gateway.stateDirectory), "Nachbar")
      }).pipe(Effect.scoped)
  )
})
