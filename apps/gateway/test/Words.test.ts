// How sessions and times are put into words for operators: in `sluice status`, in `sluice sessions` and at SIGQUIT.
import { assert, describe, it } from "@effect/vitest"
import type { LiveSession } from "@sluice/runtime/Gateway"
import * as Words from "../src/tools/Words.ts"

const session = (change: Partial<LiveSession>): LiveSession => ({
  id: 1,
  key: "http/kim",
  state: { name: "processing" },
  waiting: 0,
  turn: undefined,
  waitsFor: "nothing",
  ...change
})
const turn = { id: 7, attempt: 2, age: 9500, quietFor: 200 }

describe("a session on one line", () => {
  const lines: ReadonlyArray<readonly [string, Partial<LiveSession>, string]> = [
    [
      "is held",
      { held: 'agent "coder"', waitsFor: 'agent "coder"', waiting: 2 },
      'http/kim: held, waits for agent "coder", 2 messages behind it'
    ],
    [
      "works",
      { turn, waiting: 2, waitsFor: "its agent" },
      "http/kim: processing for 9 s, turn 7, attempt 2, waits for its agent, 2 messages behind it"
    ],
    [
      "has a silent agent",
      { turn: { ...turn, quietFor: 61_000 }, waitsFor: "its agent" },
      "http/kim: processing for 9 s, turn 7, attempt 2, silent for 1 min, waits for its agent"
    ],
    [
      "runs a tool",
      { state: { name: "tool", tool: "deploy" }, turn, waitsFor: "tool deploy" },
      "http/kim: running deploy for 9 s, turn 7, attempt 2"
    ],
    [
      "will be tried again",
      { state: { name: "suspended" }, retryIn: 1900, waitsFor: "its next try" },
      "http/kim: next try in 2 s"
    ],
    [
      "was cut off",
      { state: { name: "suspended" }, waitsFor: "automatic resume, which is paused" },
      "http/kim: waiting to resume, waits for automatic resume, which is paused"
    ],
    ["W4: has a hostile name", { key: "http/\u001b[2J", state: { name: "idle" } }, "http/\\u001b[2J: idle"]
  ]
  for (const [what, change, line] of lines) {
    it(`that ${what}`, () => assert.strictEqual(Words.session(session(change)), line))
  }
})
