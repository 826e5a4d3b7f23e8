// Q15 with a real process: an archive's file is fetched over HTTP, the same text is printed by `sluice export`, and a restart
// or forgetting finds it where it belongs.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { readdirSync } from "node:fs"
import { join } from "node:path"
import { start, tool } from "../harness.ts"

interface Command {
  readonly replies: ReadonlyArray<{
    readonly text: string
    readonly attachments?: ReadonlyArray<{ readonly hash: string; readonly name: string; readonly size: number }>
  }>
}

describe("sluice export", () => {
  it.live(
    "Q15, Q27: what was archived is the same text in its file, over HTTP and on the command line, until it is forgotten",
    () =>
      Effect.gen(function* () {
        const gateway = yield* start()
        const { call, send } = gateway.client
        yield* send("kim", "Guten Morgen", { wait: "10s" })
        const archived = yield* call("/v1/conversations/kim/messages?wait=10s", {
          method: "POST",
          body: { text: "/archive", sender: "kim" }
        })
        const [reply] = (archived.body as unknown as Command).replies
        const [file] = reply?.attachments ?? []
        assert.match(file?.name ?? "", /^main-\d{4}-\d\d-\d\d\.md$/)
        assert.notInclude(reply?.text, "[file", "its client shows it")
        const headers = { authorization: `Bearer ${gateway.token}` }
        const get = (path: string) =>
          Effect.promise(() => fetch(`${gateway.url}${path}`, { headers }).then((answer) => answer.text()))
        const saved = yield* get(`/v1/attachments/${file?.hash}`)
        assert.strictEqual(Buffer.byteLength(saved), file?.size)
        assert.include(saved, "\n> Guten Morgen\n")
        const name = file?.name.slice(0, -3) ?? ""
        const exported = saved.replace("# main\n", `# ${name}\n`)
        assert.strictEqual(yield* get(`/v1/conversations/kim/transcript?session=${name}`), exported)
        const printed = yield* tool(gateway.folder, ["export", "http/kim", name])
        assert.strictEqual(printed.code, 0, printed.err)
        assert.strictEqual(printed.out.trim(), exported.trim())
        const current = yield* tool(gateway.folder, ["export", "kim"])
        assert.strictEqual(current.out.trim(), "# main\n\nConversation http/kim. Times are UTC.")
        const missing = yield* tool(gateway.folder, ["export", "http/kim", "nothing"])
        assert.notStrictEqual(missing.code, 0)
        assert.include(missing.err + missing.out, 'conversation http/kim: there is no session "nothing"; there is main')
        const forget = yield* tool(gateway.folder, ["forget", "http/kim", "--yes"])
        assert.include(forget.out, "http/kim is forgotten: 2 sessions, 1 file,")
        assert.deepStrictEqual(readdirSync(join(gateway.stateDirectory, "attachments")), [])
      }).pipe(Effect.scoped)
  )
})
