// What a CLI can do wrong, each with an error that says what to do: missing, older, another program, silent, dying, deaf.
// And what it may do that is not known here, without harm. All with a scripted CLI.
import { assert, describe, it } from "@effect/vitest"
import { agentConformance, answerText, type Keeping, sessionOf, turnOf } from "@sluice/runtime/testing/agentConformance"

import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll } from "vitest"
import * as Children from "../../src/Children.ts"
import * as ClaudeCode from "../../src/ClaudeCode.ts"
import { node, unique } from "../processes.ts"

const program = join(import.meta.dirname, "programs/cli.mjs")
const configFolder = mkdtempSync(join(tmpdir(), "sluice-claude-"))
afterAll(() => rmSync(configFolder, { recursive: true }))

const odd = (mode: string, more: ClaudeCode.Options = {}) =>
  ClaudeCode.make({ argv: [node, program, mode], configFolder, ...more })

const answer = (mode: string, text = "hello", more: ClaudeCode.Options = {}, keeping: Keeping = {}) =>
  Effect.scoped(
    Effect.flatMap(odd(mode, more).open(sessionOf({ instance: unique("odd"), keeping })), (agent) =>
      Effect.map(Stream.runCollect(agent.answer(turnOf([text]))), answerText)
    )
  )

describe("ClaudeCode with a scripted CLI", () => {
  const cases = agentConformance({
    agent: odd("plain"),
    // What is said of an earlier attempt is a block of its own; this CLI says the last one back.
    expected: ({ text }) => text,
    fails: "fail",
    hangs: "hang",
    hangsWith: "event",
    keeps: 1,
    running: Children.running
  })
  for (const { name, run } of cases) it.live(name, () => run)
})

describe("ClaudeCode with a CLI that hears neither an interruption nor a signal", () => {
  const cases = agentConformance({
    agent: odd("deaf", {
      interruptWithin: "50 millis",
      grace: { ask: "20 millis", term: "50 millis", kill: "1 second" }
    }),
    expected: ({ text }) => text,
    fails: "fail",
    hangs: "hang",
    hangsWith: "event",
    keeps: 1,
    running: Children.running
  })
  for (const { name, run } of cases) it.live(name, () => run)
})

describe("ClaudeCode, when the CLI", () => {
  const wrong: ReadonlyArray<readonly [what: string, mode: string, reason: string, words: RegExp]> = [
    ["exits at once", "exits", "Failed", /ended with code 3; on standard error it said: no space left on device/],
    ["is older than needed", "old", "Failed", /does not know the option --replay-user-messages.*update it/],
    ["does not know the conversation", "unknown conversation", "HistoryGone", /does not know the conversation/],
    ["prints garbage without end", "garbage", "Failed", /Welcome to something else.*is it the Claude Code CLI\?/],
    ["prints a line without end", "one line", "Failed", /a line of more than \d+ bytes/],
    ["is another program", "another program", "Failed", /usage: claude.*is it the Claude Code CLI\?/],
    ["dies in the middle of a turn", "dies", "Failed", /ended with code 139; .*Segmentation fault/],
    ["goes on with noise", "noise", "Failed", /prints what is no message: "noise/]
  ]
  for (const [what, mode, reason, words] of wrong) {
    it.live(`${what}, the error says so`, () =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(answer(mode))
        assert.strictEqual(error.reason, reason)
        assert.match(error.message, words)
      })
    )
  }

  it.live("is not there, the error says how to get it", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(answer("", "hello", { argv: ["no-such-claude"] }))
      assert.match(error.message, /program "no-such-claude" was not found on PATH .* install it or give its whole path/)
    })
  )

  it.live("never gets ready, it is ended at the bound and the error says so", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(answer("silent", "hello", { initTimeout: "300 millis" }))
      assert.match(error.message, /was not ready within 300ms/)
    })
  )

  it.live("S11: says 50 MB on standard error, it is neither ended nor is that kept in memory", () =>
    Effect.gen(function* () {
      const before = process.resourceUsage().maxRSS
      assert.strictEqual(yield* answer("mutters"), "hello")
      assert.isBelow((process.resourceUsage().maxRSS - before) / 1024, 60)
    })
  )

  it.live(
    "is started, it is given the allow-list, what is configured and its marker, and never the gateway's token",
    () =>
      Effect.gen(function* () {
        process.env["SLUICE_TOKEN"] = "secret"
        const given = JSON.parse(yield* answer("plain", "environment", { env: { set: { FIXED: "1" } } }))
        const { FIXED, SLUICE_MARKER, ...rest } = given as Record<string, string>
        assert.strictEqual(FIXED, "1")
        assert.match(SLUICE_MARKER ?? "", /^odd.*\/1\/1\/$/)
        // What it sets by itself is the CLI's own.
        const beyond = Object.keys(rest).filter((name) => !Children.allowed.includes(name))
        assert.deepStrictEqual(
          beyond.filter((name) => !/^(CLAUDE_CO|DISABLE_)/.test(name)),
          []
        )
      }).pipe(Effect.ensuring(Effect.sync(() => delete process.env["SLUICE_TOKEN"])))
  )

  const harmless: ReadonlyArray<readonly [what: string, mode: string]> = [
    ["prints a warning first", "banner"],
    ["says things that are not known yet, and leaves out what is", "strange"],
    ["is an older one, without pieces and ids", "older"],
    ["says the answer only with the result", "only the result"],
    ["does a turn by itself first", "by itself"],
    ["ends before its last words have come", "hands over and exits"]
  ]
  for (const [what, mode] of harmless) {
    it.live(`${what}, it is answered all the same`, () =>
      Effect.gen(function* () {
        assert.strictEqual(yield* answer(mode), "hello")
      })
    )
  }

  it.live("kept something that can't be read any more, its person is asked", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(answer("plain", "hello", {}, { value: '{"of":"next year"}' }))
      assert.strictEqual(error.reason, "HistoryGone")
    })
  )
})

describe("ClaudeCode.invalid", () => {
  it("names what is wrong with the options, and the remedy", () => {
    assert.isUndefined(ClaudeCode.invalid({}))
    assert.match(ClaudeCode.invalid({ argv: [""] }) ?? "", /name a program/)
    assert.match(ClaudeCode.invalid({ model: "a\0b" }) ?? "", /NUL/)
    assert.match(ClaudeCode.invalid({ retries: -1 }) ?? "", /retries -1/)
    assert.match(ClaudeCode.invalid({ stderrTail: 0 }) ?? "", /stderrTail 0/)
    assert.match(ClaudeCode.invalid({ env: { pass: ["SLUICE_TOKEN"] } }) ?? "", /SLUICE_TOKEN/)
    assert.throws(() => ClaudeCode.make({ retries: 1.5 }))
  })
})
