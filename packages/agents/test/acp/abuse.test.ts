// Agents that break the protocol in every way they do: each ends as a typed error that names the program, what it did and
// the remedy, within a bound, and a session beside it feels nothing of it. Real processes, real time.
import { assert, describe, it } from "@effect/vitest"
import type * as Agent from "@sluice/runtime/Agent"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { turnOf } from "@sluice/runtime/testing/agentConformance"
import * as Acp from "../../src/Acp.ts"
import * as Children from "../../src/Children.ts"
import { unique } from "../processes.ts"
import { answerOf, errorOf, eventsOf, open, scripted } from "./scripted.ts"

const causeOf = (error: Agent.AgentError) => {
  assert.strictEqual(error.reason, "Failed")
  assert.instanceOf(error.cause, Acp.AcpError)
  return error.cause
}

const never: ReadonlyArray<readonly [what: string, kind: Acp.AcpError["kind"], problem: RegExp, flag: string]> = [
  ["exits at once", "Exited", /ended with code 3; on standard error it said: cannot start: no key$/, "--exit"],
  [
    "speaks garbage",
    "Garbled",
    /prints what is no message of the protocol: "this is a chat, not a protocol". Check its arguments: .* speak ACP/,
    "--garbage"
  ],
  [
    "never initialises",
    "NotInitialised",
    /did not answer "initialize" within \d+s\. .* or raise initTimeout; on standard error it said: waiting for somebody$/,
    "--mute"
  ],
  ["never opens a session", "NotInitialised", /did not open a session within \d+s\./, "--stuck"],
  [
    "speaks another version",
    "NotInitialised",
    /speaks version 99 of the protocol, this gateway speaks 1/,
    "--version-99"
  ],
  [
    "is not logged in",
    "LoginRequired",
    /needs a login, start it by hand once and log in or set authMethod to one of by-key: .*run `scripted login`/,
    "--login"
  ]
]

describe("an agent that never gets ready", () => {
  for (const [what, kind, problem, flag] of never) {
    it.live(`and ${what} is told as that, leaves no process, and others answer meanwhile`, () =>
      Effect.gen(function* () {
        const instance = unique("acp")
        const other = yield* open(scripted())
        // Enough for a slow machine to start it, where that is what has to come first.
        const initTimeout = flag === "--mute" ? "1 second" : flag === "--stuck" ? "5 seconds" : "60 seconds"
        const begin = (initTimeout: `${number} second${"" | "s"}`) =>
          Effect.flip(open(scripted([flag], { initTimeout }), { instance }))
        const [error, answer] = yield* Effect.all([begin(initTimeout), answerOf(other, "meanwhile")], {
          concurrency: 2
        })
        // It had not begun to speak by then: once more, with time for it.
        const cause = problem.test(causeOf(error).message) ? causeOf(error) : causeOf(yield* begin("30 seconds"))
        assert.strictEqual(cause.kind, kind)
        assert.match(cause.message, problem)
        assert.strictEqual(answer, "meanwhile")
        assert.deepStrictEqual(yield* Children.running(instance), [])
      }).pipe(Effect.scoped)
    )
  }

  it.live("because its program is missing: named, with the remedy", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(open(Acp.make({ argv: ["no-such-agent", "--acp"] })))
      assert.strictEqual(error.reason, "Failed")
      assert.instanceOf(error.cause, Children.NotStarted)
      assert.match(error.message, /program "no-such-agent" .*PATH/)
    }).pipe(Effect.scoped)
  )

  it("options that can never work are refused when the agent is made", () => {
    assert.throws(() => Acp.make({ argv: [""] }), /argv: is empty; name a program/)
    assert.throws(() => Acp.make({ argv: ["a", "b\0"] }), /NUL/)
    assert.throws(() => Acp.make({ argv: ["a"], stderrTail: 0 }), /stderrTail 0: is not a number of bytes/)
    assert.throws(() => Acp.make({ argv: ["a"], env: { pass: ["SLUICE_TOKEN"] } }), /never given to a child/)
  })
})

describe("an agent that misbehaves", () => {
  it.live("and prints a banner or talks past the protocol is put up with", () =>
    Effect.gen(function* () {
      const agent = yield* open(scripted(["--banner"]))
      assert.strictEqual(yield* answerOf(agent, "noise"), "after the noise")
      assert.strictEqual(yield* answerOf(agent, "ask"), "refused: Invalid params: options are missing")
    }).pipe(Effect.scoped)
  )

  it.live("S11: and floods with a message that does not end is ended, and answers the next turn", () =>
    Effect.gen(function* () {
      const agent = yield* open(scripted())
      const cause = causeOf(yield* errorOf(agent, "flood"))
      assert.strictEqual(cause.kind, "Garbled")
      assert.match(cause.message, /sent a message of more than 33554432 bytes/)
      assert.strictEqual(yield* answerOf(agent, "and now?"), "and now?")
    }).pipe(Effect.scoped)
  )

  it.live("S11: and prints on and on what is no message is ended, and answers the next turn", () =>
    Effect.gen(function* () {
      const agent = yield* open(scripted())
      assert.strictEqual(causeOf(yield* errorOf(agent, "rattle")).kind, "Garbled")
      assert.strictEqual(yield* answerOf(agent, "and now?"), "and now?")
    }).pipe(Effect.scoped)
  )

  it.live("S11: and says 50 MB on standard error is neither ended nor kept in memory", () =>
    Effect.gen(function* () {
      const agent = yield* open(scripted())
      const before = process.resourceUsage().maxRSS
      assert.strictEqual(yield* answerOf(agent, "mutter"), "done")
      assert.isBelow((process.resourceUsage().maxRSS - before) / 1024, 60)
    }).pipe(Effect.scoped)
  )

  it.live("is given the allow-list, what is configured and its marker, and never the gateway's token", () =>
    Effect.gen(function* () {
      const instance = unique("acp")
      process.env["SLUICE_TOKEN"] = "secret"
      const agent = yield* open(scripted([], { env: { set: { FIXED: "1" } } }), { instance })
      const given = JSON.parse(yield* answerOf(agent, "environment")) as Record<string, string>
      const { FIXED, SLUICE_MARKER, ...rest } = given
      assert.deepStrictEqual([FIXED, SLUICE_MARKER], ["1", `${instance}/1/1/`])
      assert.deepStrictEqual(
        Object.keys(rest).filter((name) => !Children.allowed.includes(name)),
        []
      )
    }).pipe(Effect.scoped, Effect.ensuring(Effect.sync(() => delete process.env["SLUICE_TOKEN"])))
  )

  it.live("and wants a login that is configured is given it", () =>
    Effect.gen(function* () {
      const agent = yield* open(scripted(["--login"], { authMethod: "by-key" }))
      assert.strictEqual(yield* answerOf(agent, "hello"), "hello")
    }).pipe(Effect.scoped)
  )

  it.live("and answers and asks after it was cancelled is not heard, and told that nobody decides", () =>
    Effect.gen(function* () {
      const instance = unique("acp")
      const agent = yield* open(scripted(["--late"]), { instance })
      const before = yield* Children.running(instance)
      yield* Stream.runDrain(Stream.takeUntil(agent.answer(turnOf(["hang"])), ({ _tag }) => _tag === "Text"))
      const events = yield* eventsOf(agent, "next")
      assert.deepStrictEqual(
        events.filter(({ _tag }) => _tag === "Text"),
        [{ _tag: "Text", delta: "next" }]
      )
      assert.deepStrictEqual(yield* Children.running(instance), before)
    }).pipe(Effect.scoped)
  )

  it.live("Q17: and answers with an error fails its turn with it, and its process goes on", () =>
    Effect.gen(function* () {
      const instance = unique("acp")
      const agent = yield* open(scripted(), { instance })
      const before = yield* Children.running(instance)
      const cause = causeOf(yield* errorOf(agent, "fail"))
      assert.strictEqual(cause.kind, "Refused")
      assert.match(cause.message, /answered session\/prompt with an error: .*asked to fail.*\(-32603/)
      assert.deepStrictEqual(yield* Children.running(instance), before)
    }).pipe(Effect.scoped)
  )
})
