// Q14 and Q15 from the command line: what people write in a chat, given by an operator, run by the gateway's one way for
// commands, and answered on both sides.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { start, tool } from "../harness.ts"

interface Sessions {
  readonly sessions: ReadonlyArray<{ readonly name: string; readonly current: boolean; readonly idleTimeout?: number }>
}

interface Answer {
  readonly kind?: string
  readonly session?: string
}

describe("sluice command", () => {
  it.live("Q14, Q15: prints the reply, or why not with exit code 1; the person in the conversation sees it too", () =>
    Effect.gen(function* () {
      const gateway = yield* start()
      yield* gateway.client.send("kim", "hello", { wait: "10s" })
      const command = (...words: ReadonlyArray<string>) => tool(gateway.folder, ["command", ...words])
      const made = yield* command("kim", "/new", "work")
      assert.deepStrictEqual([made.code, made.out.trim()], [0, 'A fresh start: "work".'], made.err)
      const set = yield* command("http/kim", "timeout", "5", "--json")
      assert.deepInclude(set.json, { ended: "command", duplicate: false })
      const cases: ReadonlyArray<readonly [ReadonlyArray<string>, string]> = [
        [["kim", "/session", "nothing"], 'There is nothing called "nothing".'],
        [["kim", "/timeout", "500"], 'arguments "500": use 1 to 120 minutes'],
        [["kim", "/restart"], 'command "/restart": there is none; sluice command lists them'],
        [["http/lee", "/status"], "conversation http/lee: there is none"],
        [["lee", "/status"], "conversation http/lee: there is none"]
      ]
      for (const [words, why] of cases) {
        const { code, err } = yield* command(...words)
        assert.strictEqual(code, 1, words.join(" "))
        assert.include(err, why)
      }
      const of = (name: string) => tool(gateway.folder, ["sessions", "--of", name, "--json"])
      const { sessions } = (yield* of("kim")).json as unknown as Sessions
      assert.deepStrictEqual(
        sessions.map(({ current, idleTimeout, name }) => [name, current, idleTimeout]),
        [
          ["work", true, 300_000],
          ["main", false, undefined]
        ]
      )
      for (const args of [
        ["sessions", "--of", "nobody"],
        ["usage", "nobody"]
      ]) {
        const { code, err } = yield* tool(gateway.folder, args)
        assert.strictEqual(code, 1)
        assert.include(err, "conversation http/nobody: there is none")
      }
      const seen = yield* gateway.client.repliesUntil("kim", 3)
      assert.deepStrictEqual(
        seen.slice(0, 2).map(({ text }) => text),
        ["hello", 'A fresh start: "work".']
      )
      assert.match(seen[2]?.text ?? "", /after 5 minutes/)
      // What is asked in one session and answered from another says whose answer it is.
      const { length } = yield* gateway.client.repliesUntil("kim", 3)
      yield* gateway.client.send("kim", "ask ready?")
      yield* gateway.client.repliesUntil("kim", length + 1)
      for (const words of [
        ["session", "main"],
        ["allow", "1", "yes"]
      ]) {
        const { code, err } = yield* command("kim", ...words)
        assert.strictEqual(code, 0, err)
      }
      const all = (yield* gateway.client.repliesUntil("kim", length + 4)) as ReadonlyArray<Answer>
      const last = all.filter(({ kind }) => kind === "answer").at(-1)
      assert.strictEqual(last?.session, "work", JSON.stringify(all))
    }).pipe(Effect.scoped)
  )
})
