// The ClaudeCode agent keeps the promises that every agent makes, with the real CLI.
import { describe, it } from "@effect/vitest"
import { agentConformance } from "@sluice/runtime/testing/agentConformance"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { mkdirSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll } from "vitest"
import * as Children from "../../src/Children.ts"
import * as ClaudeCode from "../../src/ClaudeCode.ts"
import { claude, missing } from "../installed.ts"
import { optionsFor } from "./real.ts"
import { standIn } from "../standIn/anthropic.ts"

describe.skipIf(claude === undefined)(`ClaudeCode ${claude === undefined ? missing : ""}`, () => {
  const root = mkdtempSync(join(tmpdir(), "sluice-claude-"))
  const work = join(root, "work")
  mkdirSync(work)
  const scope = Scope.makeUnsafe()
  let url = ""
  beforeAll(async () => {
    url = (await Effect.runPromise(Scope.provide(standIn(), scope))).url
  })
  afterAll(async () => {
    await Effect.runPromise(Scope.close(scope, Exit.void))
    rmSync(root, { recursive: true, force: true })
  })
  const made = () => ClaudeCode.make(optionsFor({ config: join(root, "config"), work, url }))
  const cases = agentConformance({
    agent: { ...made(), open: (session) => made().open(session) },
    expected: ({ text }) => text,
    fails: "fail 500",
    hangs: "hang",
    hangsWith: "event",
    keeps: 1,
    running: Children.running
  })
  for (const { name, run } of cases) it.live(name, () => run, 120_000)
})
