// The tools against a running gateway: what an operator types, and what an agent types from inside its own turn.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { existsSync, readFileSync, writeFileSync } from "node:fs"
import { createServer, request } from "node:http"
import type { AddressInfo } from "node:net"
import { join } from "node:path"
import { client } from "../client.ts"
import { program, reportIn, running, start, store, temporaryFolder, tool, until } from "../harness.ts"

const first = (text: string) => text.split("\n")[0] ?? ""

describe("stop and restart by command", () => {
  it.live("stop waits for the end, prints the report, and the store is free when it returns", () =>
    Effect.gen(function* () {
      const gateway = yield* start()
      yield* gateway.client.send("kim", "work 500ms slow")
      const stop = yield* tool(gateway.folder, ["stop"])
      assert.strictEqual(stop.code, 0, stop.err)
      assert.match(first(stop.out), /^Stopped in .* \(POST \/v1\/admin\/stop\): clean, exit 0$/)
      const next = yield* start({ folder: gateway.folder })
      assert.strictEqual(next.facts.epoch, gateway.facts.epoch + 1)
      assert.match(next.facts.lastStop, /^clean/)
    }).pipe(Effect.scoped)
  )

  it.live("stop --no-wait --json returns at once with the time it may take", () =>
    Effect.gen(function* () {
      const gateway = yield* start({ environment: { SLUICE_DRAIN_TIMEOUT: "7s" } })
      const stop = yield* tool(gateway.folder, ["stop", "--no-wait", "--json"])
      const { epoch, pid, stopping, within } = stop.json as { readonly [key: string]: number | boolean }
      assert.deepStrictEqual({ epoch, pid, stopping }, { epoch: gateway.facts.epoch, pid: gateway.pid, stopping: true })
      assert.isAtMost(Number(within), 7000)
      assert.strictEqual((yield* gateway.exited).code, 0)
    }).pipe(Effect.scoped)
  )

  it.live("restart waits until the next boot listens, and prints both", () =>
    Effect.gen(function* () {
      const gateway = yield* start()
      const restart = yield* tool(gateway.folder, ["restart"])
      assert.strictEqual(restart.code, 0, restart.err)
      assert.match(first(restart.out), /^Stopped for a restart in|restart/)
      const next = yield* running(gateway, gateway.facts.epoch)
      assert.include(restart.out, `running again at ${next.url} (pid ${gateway.pid}, boot ${next.facts.epoch})`)
    }).pipe(Effect.scoped)
  )
})

/** A command agent: its program stands in the folder as agent.mjs. */
const withProgram = (text: string) =>
  Effect.gen(function* () {
    const gateway = yield* start({
      configuration: "agents: { main: { kind: command, argv: [node, agent.mjs] } }\ndrain: { timeout: 10 seconds }\n"
    })
    writeFileSync(join(gateway.folder, "agent.mjs"), text)
    return gateway
  })

describe("S10: an agent that restarts the gateway from its own turn", () => {
  it.live(
    "is not waited for, runs again after the restart, and its second wish is answered with the report instead of a loop",
    () =>
      Effect.gen(function* () {
        const gateway = yield* withProgram(`
        import { spawnSync } from "node:child_process"
        const run = spawnSync(process.execPath, [${JSON.stringify(program)}, "restart"], { encoding: "utf8" })
        console.log("restart said " + run.status + " " + (run.stdout.split("\\n")[0] ?? "") + run.stderr)
      `)
        yield* gateway.client.send("kim", "please restart yourself")
        const next = yield* running(gateway, gateway.facts.epoch)
        assert.strictEqual(next.facts.epoch, gateway.facts.epoch + 1)
        assert.match(next.facts.lastStop, /^clean/)
        const report = reportIn(next)
        assert.deepStrictEqual(
          report.sessions.map(({ key, outcome }) => `${key} ${outcome}`),
          ["http/kim asked"]
        )
        const [reply] = yield* client(next.url, next.token).repliesUntil("kim", 1)
        assert.match(reply?.text ?? "", /^restart said 0 .*restart/)
        const [turn] = store(next, "select attempt, crashes, cuts from sluice_turns")
        assert.deepStrictEqual({ ...turn }, { attempt: 2, crashes: 0, cuts: 1 })
        assert.strictEqual(store(next, "select max(epoch) as epoch from sluice_boots")[0]?.["epoch"], next.facts.epoch)
      }).pipe(Effect.scoped)
  )
})

describe("reload", () => {
  it.live("by command: the next turn has the new agent, keys that need a restart are named", () =>
    Effect.gen(function* () {
      const gateway = yield* start({ configuration: "agents: { main: { kind: demo } }\n" })
      yield* gateway.client.send("kim", "one")
      assert.strictEqual((yield* gateway.client.repliesUntil("kim", 1))[0]?.text, "one")
      writeFileSync(
        join(gateway.folder, "loud.mjs"),
        'process.stdin.once("data", (d) => console.log(JSON.parse(d).text.toUpperCase()))'
      )
      writeFileSync(
        join(gateway.folder, "sluice.yaml"),
        "agents: { main: { kind: command, argv: [node, loud.mjs] } }\nqueue: { cap: 5 }\n"
      )
      const reload = yield* tool(gateway.folder, ["reload"])
      assert.strictEqual(reload.code, 0, reload.err)
      assert.include(reload.out, "queue.cap has changed; it takes effect with a restart")
      // What is in force is compared, not what was read last.
      const again = yield* tool(gateway.folder, ["reload"])
      assert.strictEqual(again.out.trim(), "queue.cap has changed; it takes effect with a restart")
      writeFileSync(
        join(gateway.folder, "sluice.yaml"),
        "agents: { main: { kind: command, argv: [node, loud.mjs] }, more: { kind: command, argv: [no-such-program-4711] } }\n"
      )
      const missing = yield* tool(gateway.folder, ["reload"])
      assert.strictEqual(missing.code, 0, missing.err)
      assert.match(
        missing.out,
        /^agent "more": program "no-such-program-4711" is not found; install it.*\nagent "more" is new/
      )
      yield* gateway.client.send("kim", "two")
      assert.strictEqual((yield* gateway.client.repliesUntil("kim", 1, 1))[0]?.text, "TWO")
    }).pipe(Effect.scoped)
  )

  it.live("is done to its end, pools too, also when who asked for it leaves while a channel starts", () =>
    Effect.gen(function* () {
      const gateway = yield* start({ configuration: "agents: { main: { kind: demo } }\n" })
      const left = Promise.withResolvers<void>()
      const headers = { authorization: `Bearer ${gateway.token}` }
      const asked = request(`${gateway.url}/v1/admin/reload`, { method: "POST", headers })
      asked.on("error", () => {}).on("close", () => left.resolve())
      // Slack answers who the app is when the asker has left.
      const slack = createServer((_, response) => {
        asked.destroy()
        const seen = left.promise.then(() => fetch(`${gateway.url}/healthz`))
        void seen.then(() => response.end(JSON.stringify({ ok: false, error: "invalid_auth" })))
      })
      yield* Effect.acquireRelease(
        Effect.callback<void>((resume) => void slack.listen(0, "127.0.0.1", () => resume(Effect.void))),
        () => Effect.sync(() => slack.closeAllConnections())
      )
      yield* Effect.addFinalizer(() => Effect.sync(() => slack.close()))
      writeFileSync(join(gateway.folder, "slack.token"), "xoxb-12-34-AbCdefgh", { mode: 0o600 })
      writeFileSync(join(gateway.folder, "slack.signing"), "0123456789abcdef".repeat(2), { mode: 0o600 })
      const { port } = slack.address() as AddressInfo
      const channel = `{ tokenFile: slack.token, signingSecretFile: slack.signing, apiRoot: "http://127.0.0.1:${port}" }`
      const pool = '{ capability: text-generation, kind: openai, url: "http://127.0.0.1:9", model: m }'
      writeFileSync(
        join(gateway.folder, "sluice.yaml"),
        `agents: { main: { kind: demo } }\nchannels: { slack: ${channel} }\npools: { late: ${pool} }\n`
      )
      yield* Effect.sync(() => asked.end())
      const { annotations } = yield* gateway.event("reloaded", ({ message }) => message === "Configuration reloaded")
      assert.include(String(annotations?.["changes"]), "pool late is new")
    }).pipe(Effect.scoped)
  )

  it.live("a secret that was exchanged is in no log, also when what was started with it says it", () =>
    Effect.gen(function* () {
      const say = [
        'import { existsSync, writeFileSync } from "node:fs"',
        'writeFileSync("runs", "")',
        'const timer = setInterval(() => { if (existsSync("go")) { console.error(`I have ${process.env.KEY}`); process.exit(1) } }, 20)',
        "process.stdin.resume()"
      ]
      const folder = yield* temporaryFolder
      writeFileSync(join(folder, "say.mjs"), say.join("\n"))
      writeFileSync(join(folder, "key"), "the-first-of-two-keys", { mode: 0o600 })
      const agent = "kind: command, argv: [node, say.mjs], secrets: { KEY: ./key }"
      const gateway = yield* start({ folder, configuration: `agents: { main: { ${agent} } }\n` })
      yield* gateway.client.send("kim", "one")
      yield* until(
        "it runs",
        Effect.sync(() => existsSync(join(folder, "runs"))),
        (runs) => runs
      )
      writeFileSync(join(folder, "key"), "the-second-of-two-keys", { mode: 0o600 })
      const reload = yield* tool(folder, ["reload"])
      assert.include(reload.out, 'agent "main" has changed')
      writeFileSync(join(folder, "go"), "")
      yield* gateway.event("what it said", (event) => JSON.stringify(event).includes("I have"))
      assert.notInclude(JSON.stringify(gateway.output()), "of-two-keys")
    }).pipe(Effect.scoped)
  )

  it.live("by SIGHUP with a broken file: the old configuration stays, and the log says why", () =>
    Effect.gen(function* () {
      const gateway = yield* start({ configuration: "agents: { main: { kind: demo } }\n" })
      const broken = "agents: { main: { kind: dmeo } }\nqueue: { cap: many }\n"
      writeFileSync(join(gateway.folder, "sluice.yaml"), broken)
      yield* gateway.signal("SIGHUP")
      const event = yield* gateway.event("not reloaded", ({ message }) => message.includes("was not reloaded"))
      const why = event.annotations?.["why"]
      assert.lengthOf(why as ReadonlyArray<string>, 2)
      assert.include(String(why), 'agents.main.kind = "dmeo" (sluice.yaml:1)')
      yield* gateway.client.send("kim", "still here")
      assert.strictEqual((yield* gateway.client.repliesUntil("kim", 1))[0]?.text, "still here")
      const reload = yield* tool(gateway.folder, ["reload"])
      assert.strictEqual(reload.code, 1)
      assert.match(
        reload.err,
        /^sluice: queue\.cap .*\nsluice: agents\.main\.kind .*use one of demo, command[^\n]*\n?$/
      )
    }).pipe(Effect.scoped)
  )

  it.live("exchanges the token: both are valid while the file has both, then only the new one", () =>
    Effect.gen(function* () {
      const gateway = yield* start()
      const fresh = "the-next-token-0123456789"
      const status = (token: string) => Effect.orDie(gateway.client.call("/v1/audit", { token }))
      assert.strictEqual((yield* status(fresh)).status, 401)
      // The gateway knows only the second one yet: the tool tries both.
      writeFileSync(join(gateway.stateDirectory, "token"), `${fresh}\n${gateway.token}\n`)
      const reload = yield* tool(gateway.folder, ["reload"])
      assert.strictEqual(reload.code, 0, reload.err)
      assert.include(reload.out, "the tokens have changed, 2 are valid")
      assert.strictEqual((yield* status(fresh)).status, 200)
      assert.strictEqual((yield* status(gateway.token)).status, 200)
      writeFileSync(join(gateway.stateDirectory, "token"), `${fresh}\n`)
      assert.strictEqual((yield* tool(gateway.folder, ["reload"])).out.trim(), "the token has changed")
      assert.strictEqual((yield* tool(gateway.folder, ["reload"])).out.trim(), "nothing has changed")
      assert.strictEqual((yield* status(gateway.token)).status, 401)
      assert.strictEqual((yield* tool(gateway.folder, ["audit"])).code, 0)
    }).pipe(Effect.scoped)
  )
})

describe("looking", () => {
  it.live("SIGQUIT says what every session waits for, and the gateway goes on", () =>
    Effect.gen(function* () {
      const gateway = yield* start()
      yield* gateway.client.send("kim", "work 2s long")
      yield* until("a turn runs", Effect.orDie(gateway.client.call("/v1/status")), ({ body }) =>
        JSON.stringify(body).includes('"attempt":1')
      )
      yield* gateway.signal("SIGQUIT")
      const event = yield* gateway.event("the session", ({ message }) => message === "Session")
      assert.strictEqual(event.annotations?.["key"], "http/kim")
      assert.isNotEmpty(event.annotations?.["waitsFor"])
      assert.strictEqual((yield* gateway.client.repliesUntil("kim", 1))[0]?.text, "work 2s long")
    }).pipe(Effect.scoped)
  )

  it.live("S17: a boot that was killed is not passed over: report and status say that it left none", () =>
    Effect.gen(function* () {
      const first = yield* start()
      yield* first.signal("SIGTERM")
      assert.strictEqual((yield* first.exited).code, 0)
      const stored = yield* tool(first.folder, ["status"])
      assert.strictEqual(stored.code, 3)
      assert.match(stored.out, /last stop: (just now|\d+ s ago), clean in \d/)
      const second = yield* start({ folder: first.folder })
      yield* second.signal("SIGKILL")
      yield* second.exited
      const killed = yield* tool(first.folder, ["report"])
      assert.match(killed.out, /^Boot 2 has left no report: .* boot 1:\nStopped in .* clean, exit 0\n/)
      assert.deepInclude((yield* tool(first.folder, ["report", "--json"])).json, { epoch: 1, withoutReport: 2 })
      assert.match((yield* tool(first.folder, ["status"])).out, /boot 2, .*last stop: UNCLEAN: ended without a stop/)
      yield* start({ folder: first.folder })
      assert.match((yield* tool(first.folder, ["report"])).out, /^Boot 2 has left no report/)
    }).pipe(Effect.scoped)
  )

  it.live("every route but health and readiness wants the token", () =>
    Effect.gen(function* () {
      const gateway = yield* start()
      const ask = (path: string, method: "GET" | "POST" = "GET") =>
        Effect.map(Effect.orDie(gateway.client.call(path, { token: "", method })), ({ status }) => `${path} ${status}`)
      assert.deepStrictEqual(
        yield* Effect.all([
          ask("/healthz"),
          ask("/readyz"),
          ask("/metrics"),
          ask("/v1/status"),
          ask("/v1/sessions"),
          ask("/v1/audit"),
          ask("/v1/report"),
          ask("/v1/dead-letters"),
          ask("/v1/dead-letters/1/replay", "POST"),
          ask("/v1/admin/stop", "POST"),
          ask("/v1/admin/restart", "POST"),
          ask("/v1/admin/reload", "POST"),
          ask("/v1/admin/resume", "POST")
        ]),
        [
          "/healthz 200",
          "/readyz 200",
          "/metrics 401",
          "/v1/status 401",
          "/v1/sessions 401",
          "/v1/audit 401",
          "/v1/report 401",
          "/v1/dead-letters 401",
          "/v1/dead-letters/1/replay 401",
          "/v1/admin/stop 401",
          "/v1/admin/restart 401",
          "/v1/admin/reload 401",
          "/v1/admin/resume 401"
        ]
      )
    }).pipe(Effect.scoped)
  )

  it.live("bad input at the operators' routes is refused with what would be right", () =>
    Effect.gen(function* () {
      const gateway = yield* start()
      const call = (path: string, body?: unknown) =>
        Effect.orDie(gateway.client.call(path, { method: "POST", ...(body === undefined ? {} : { body }) }))
      for (const body of [{ asking: 7 }, { askign: "x" }, [], "stop", { asking: "x".repeat(2000) }]) {
        const { body: answer, status } = yield* call("/v1/admin/stop", body)
        assert.strictEqual(status, 400, JSON.stringify(body))
        assert.strictEqual(answer.type, "urn:sluice:problem:invalid")
      }
      assert.strictEqual((yield* call("/v1/dead-letters/999/replay")).status, 404)
      assert.strictEqual((yield* call("/v1/dead-letters/1e3/discard")).status, 400)
      assert.strictEqual((yield* Effect.orDie(gateway.client.call("/v1/report"))).status, 404)
      const { body } = yield* Effect.orDie(gateway.client.call("/readyz"))
      assert.deepInclude(body, { ready: true, problems: [] })
    }).pipe(Effect.scoped)
  )

  it.live("sessions, audit and metrics agree with what was said", () =>
    Effect.gen(function* () {
      const gateway = yield* start()
      for (const name of ["ann", "bob"]) {
        yield* gateway.client.send(name, `hello from ${name}`)
        yield* gateway.client.repliesUntil(name, 1)
      }
      const sessions = yield* tool(gateway.folder, ["sessions", "--json"])
      const list = (sessions.json as { readonly sessions: ReadonlyArray<{ readonly conversationKey: string }> })
        .sessions
      assert.deepStrictEqual(list.map(({ conversationKey }) => conversationKey).toSorted(), ["http/ann", "http/bob"])
      const { body } = yield* Effect.orDie(gateway.client.call("/metrics"))
      assert.include(body.text, 'sluice_turns_total{outcome="done"} 2')
      assert.match(body.text ?? "", /sluice_commit_seconds_count [1-9]/)
      assert.deepInclude((yield* tool(gateway.folder, ["audit", "--json"])).json, {
        accepted: 2,
        open: 0,
        balanced: true
      })
      const doctor = yield* tool(gateway.folder, ["doctor"])
      assert.strictEqual(doctor.code, 0, doctor.out)
      assert.include(doctor.out, "nothing has to be put right")
    }).pipe(Effect.scoped)
  )

  it.live("chat over a pipe sends, waits for the answer and prints it", () =>
    Effect.gen(function* () {
      const gateway = yield* start()
      const { spawnSync } = yield* Effect.promise(() => import("node:child_process"))
      const chat = spawnSync(process.execPath, [program, "chat", "--as", "kim"], {
        cwd: gateway.folder,
        encoding: "utf8",
        input: "hello there\n",
        timeout: 20_000
      })
      assert.strictEqual(chat.status, 0, chat.stderr)
      assert.strictEqual(chat.stdout.trim(), "hello there")
      assert.isNotEmpty(readFileSync(join(gateway.stateDirectory, "token"), "utf8"))
    }).pipe(Effect.scoped)
  )
})
