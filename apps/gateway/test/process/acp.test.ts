// The real program with an agent that speaks ACP: a chat, a stop and a crash in mid-turn, and the next boot goes on in the
// same conversation, told what was cut off; pictures, and a restart from its own turn. What every kind of agent does is in
// kinds and cut.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { mkdirSync, rmSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { program, reportIn, type Running, running, start, temporaryFolder, until } from "../harness.ts"

const agent = fileURLToPath(new URL("../../../../packages/agents/test/acp/programs/agent.mjs", import.meta.url))

/** A gateway whose agent keeps its conversations in the gateway's folder. */
const boot = (folder: string) => {
  const sessions = join(folder, "conversations")
  mkdirSync(sessions, { recursive: true })
  return start({
    folder,
    configuration: `agents:
  main:
    kind: acp
    argv: ${JSON.stringify([process.execPath, agent, "--resume", "--close", "--images"])}
    variables: { ACP_SESSIONS: ${JSON.stringify(sessions)} }
turns: { backoff: [50 millis, 50 millis] }
`,
    environment: { SLUICE_DRAIN_TIMEOUT: "2s" }
  })
}

/** Waits until the only session shows this state. */
const showing = (gateway: Running, state: string) =>
  until(
    `the session is ${state}`,
    Effect.map(Effect.orDie(gateway.client.call("/v1/sessions")), ({ body }) => JSON.stringify(body)),
    (text) => text.includes(`"${state}"`)
  )

const resumed = (tool: string, by: string) =>
  JSON.stringify([
    "first",
    tool,
    `[An earlier attempt at this was cut off (${by}) while "deploy" was running, and nobody knows how that ended. ` +
      `Find out before you do it again.]\n${tool}`
  ])

describe("an agent of kind acp", () => {
  it.live("D5, D18: is told after a stop in mid-turn what was cut off, in the conversation that it had", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const gateway = yield* boot(folder)
      assert.deepStrictEqual(gateway.facts.agents, ["main"])
      yield* gateway.client.send("kim", "first")
      const [first] = yield* gateway.client.repliesUntil("kim", 1)
      assert.strictEqual(first?.text, "first")
      yield* gateway.client.send("kim", "deploy")
      yield* showing(gateway, "deploy")
      yield* gateway.signal("SIGTERM")
      const { code } = yield* gateway.exited
      assert.strictEqual(code, 80)
      // It stops when it is told to; only on a machine that is too busy for its answer it has to be killed.
      const [cut, ...others] = reportIn(gateway).sessions
      assert.deepStrictEqual([cut?.key, others], ["http/kim", []])
      assert.match(cut?.outcome ?? "", /^(interrupted|killed)$/)
      const again = yield* boot(folder)
      const replies = yield* again.client.repliesUntil("kim", 1, first?.number)
      assert.strictEqual(replies.at(-1)?.text, resumed("deploy", "stop"))
    }).pipe(Effect.scoped)
  )

  it.live("D3, Q16: is ended with its crashed gateway, and the next one goes on in the same conversation", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const gateway = yield* boot(folder)
      yield* gateway.client.send("kim", "first")
      yield* gateway.client.repliesUntil("kim", 1)
      yield* gateway.client.send("kim", "deploy")
      yield* showing(gateway, "deploy")
      yield* gateway.signal("SIGKILL")
      yield* gateway.exited
      const again = yield* boot(folder)
      const replies = yield* again.client.repliesUntil("kim", 1, 1)
      assert.strictEqual(replies.at(-1)?.text, resumed("deploy", "crash"))
    }).pipe(Effect.scoped)
  )

  it.live("is shown the pictures that came with a message", () =>
    Effect.gen(function* () {
      const gateway = yield* boot(yield* temporaryFolder)
      const data = Buffer.from("not really a picture").toString("base64")
      const body = { text: "look", attachments: [{ type: "image/png", name: "cat.png", data }] }
      const { status } = yield* gateway.client.call("/v1/conversations/kim/messages", { body })
      assert.strictEqual(status, 202)
      const [reply] = yield* gateway.client.repliesUntil("kim", 1)
      assert.strictEqual(reply?.text, `look\n<image/png ${data.length}>`)
    }).pipe(Effect.scoped)
  )

  it.live("Q12: whose conversation is gone tells its person, who starts fresh", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const gateway = yield* boot(folder)
      yield* gateway.client.send("kim", "first")
      yield* gateway.client.repliesUntil("kim", 1)
      yield* gateway.signal("SIGTERM")
      yield* gateway.exited
      rmSync(join(folder, "conversations"), { recursive: true })
      const again = yield* boot(folder)
      yield* again.client.send("kim", "second")
      const [told] = yield* again.client.repliesUntil("kim", 1, 1)
      assert.match(told?.text ?? "", /^I can't find our earlier conversation\..*\/new/s)
      // The cause is the operator's.
      yield* again.event("the cause", ({ annotations }) =>
        String(annotations?.["error"]).includes("does not know the conversation")
      )
      yield* again.client.send("kim", "/new")
      yield* again.client.send("kim", "history")
      const replies = yield* until(
        "the fresh conversation answers",
        Effect.orDie(again.client.replies("kim", 2)),
        (found) => found.some(({ text }) => text === "[]")
      )
      assert.isAbove(replies.length, 0)
    }).pipe(Effect.scoped)
  )

  it.live("S10: restarts the gateway from its own turn, which goes on after it, without a deadlock or a loop", () =>
    Effect.gen(function* () {
      const gateway = yield* boot(yield* temporaryFolder)
      yield* gateway.client.send("kim", `run ${JSON.stringify([process.execPath, program, "restart"])}`)
      const next = yield* running(gateway, gateway.facts.epoch)
      assert.deepStrictEqual(
        reportIn(next).sessions.map(({ key, outcome }) => `${key} ${outcome}`),
        ["http/kim asked"]
      )
      const replies = yield* until("the turn is answered", Effect.orDie(next.client.replies("kim")), (found) =>
        found.some(({ text }) => text.includes("it said"))
      )
      assert.match(replies.at(-1)?.text ?? "", /it said 0 .*restart/)
      assert.strictEqual(next.facts.epoch, gateway.facts.epoch + 1)
    }).pipe(Effect.scoped)
  )
})
