// The real program with the real Claude Code CLI, and a stand-in of its model's API: an answer that it
// finished after a crash of its gateway, one that takes too long, and what is written while it works. What every kind of
// agent does is in kinds and cut.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { existsSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { claude, missing } from "../../../../packages/agents/test/installed.ts"
import { type Asked, standIn } from "../../../../packages/agents/test/standIn/anthropic.ts"
import { type Running, start, temporaryFolder, until } from "../harness.ts"

/** A gateway whose agent's model is the stand-in. */
const boot = (folder: string, url: string, more = "") =>
  start({
    folder,
    configuration: `agents:
  main:
    kind: claude-code
    argv: ${JSON.stringify([claude])}
    variables: { ANTHROPIC_BASE_URL: ${JSON.stringify(url)}, ANTHROPIC_API_KEY: sk-ant-stand-in, HOME: ${JSON.stringify(folder)} }
    retries: 0
${more}
turns: { backoff: [50 millis, 50 millis] }
`,
    environment: { SLUICE_DRAIN_TIMEOUT: "2s" }
  })

const answers = (gateway: Running, after: number, words: RegExp) =>
  until(`an answer that says ${words}`, Effect.orDie(gateway.client.replies("kim", after)), (replies) =>
    replies.some(({ text }) => words.test(text))
  )

/** The CLI joins messages that follow each other by line feeds. */
const timesSaid = ({ said }: Asked, words: string) => said.filter((text) => text.trim() === words).length

const setting = Effect.gen(function* () {
  const model = yield* standIn()
  const folder = yield* temporaryFolder
  return { model, folder, boot: (more?: string) => boot(folder, model.url, more) }
})

/** Milliseconds; a process that starts takes its time on a machine that is busy. */
const longest = 300_000

describe.skipIf(claude === undefined)(`an agent of kind claude-code ${claude === undefined ? missing : ""}`, () => {
  it.live(
    "D3, D17, Q16: an answer that it finished after its gateway was killed is delivered before what came meanwhile, and not asked for again",
    () =>
      Effect.gen(function* () {
        const { boot, model } = yield* setting
        const gateway = yield* boot()
        yield* gateway.client.send("kim", "hold")
        const held = yield* model.ask(1)
        held.delta("paid for ")
        yield* gateway.signal("SIGKILL")
        yield* gateway.exited
        const again = yield* boot()
        yield* again.client.send("kim", "and now?")
        held.finish("once")
        const [reply] = yield* again.client.repliesUntil("kim", 1)
        assert.strictEqual(reply?.text, "paid for once")
        yield* answers(again, 1, /^and now\?$/)
        assert.lengthOf(model.asked, 2)
        assert.deepStrictEqual(model.asked[1]?.said, ["hold", "and now?"])
      }).pipe(Effect.scoped),
    longest
  )

  it.live(
    "D3: one that does not end within its bound is ended, and the turn is carried on",
    () =>
      Effect.gen(function* () {
        const { boot, model } = yield* setting
        const gateway = yield* boot()
        yield* gateway.client.send("kim", "hold")
        const held = yield* model.ask(1)
        held.delta("never ")
        yield* gateway.signal("SIGKILL")
        yield* gateway.exited
        const again = yield* boot("    awaitOrphan: 100 millis")
        assert.strictEqual(yield* held.over, "left")
        const asked = yield* model.ask(2)
        // Whether the question was written by then is the CLI's affair; it is there once, whichever it was.
        assert.strictEqual(timesSaid(asked, "hold"), 1)
        if (asked.text === "hold") asked.finish("now")
        yield* answers(again, 0, /now|cut off\. Carry on/)
      }).pipe(Effect.scoped),
    longest
  )

  it.live(
    "Q6: what is written while it works joins the running turn, and one answer is for both",
    () =>
      Effect.gen(function* () {
        const { boot, folder, model } = yield* setting
        const gateway = yield* boot("    permissions: allow\nqueue: { mode: steer }")
        const [begun, gate] = [join(folder, "begun"), join(folder, "gate")]
        const command = `echo at work > '${begun}'; until [ -e '${gate}' ]; do sleep 0.05; done`
        yield* gateway.client.send("kim", `tool Bash ${JSON.stringify({ command })}`, { id: "one" })
        yield* until(
          "the tool runs",
          Effect.sync(() => existsSync(begun)),
          (is) => is
        )
        yield* gateway.client.send("kim", "and this too", { id: "two" })
        writeFileSync(gate, "")
        const replies = yield* answers(gateway, 0, /./)
        assert.deepStrictEqual(
          replies.map(({ inReplyTo }) => inReplyTo),
          [["one", "two"]]
        )
        assert.include(JSON.stringify(model.asked.at(-1)?.body.messages), "and this too")
      }).pipe(Effect.scoped),
    longest
  )
})
