// What the doctor finds: each look on its own, with what is well, what is not, and the remedy.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { chmodSync, mkdirSync, readdirSync, writeFileSync } from "node:fs"
import { createServer } from "node:net"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import * as Sources from "../src/configuration/Sources.ts"
import * as Programs from "../src/agents/Programs.ts"
import * as Findings from "../src/tools/Findings.ts"
import * as Guards from "../src/tools/Guards.ts"
import { start, temporaryFolder, tool } from "./harness.ts"

const states = (findings: ReadonlyArray<Findings.Finding>) => findings.map(({ name, state }) => `${name} ${state}`)

const loaded = (folder: string, yaml: string) =>
  Effect.suspend(() => {
    writeFileSync(join(folder, "sluice.yaml"), yaml)
    return Effect.orDie(Sources.load({ environment: {}, folder }))
  })

const placeOf = (stateDirectory: string, tokenFile?: string): Sources.Place => ({
  stateDirectory,
  tokenFile,
  environment: {}
})

describe("the doctor looks at", () => {
  it("the version of Node", () => {
    assert.strictEqual(Findings.node("26.10.0").state, "ok")
    assert.strictEqual(Findings.node("20.20.2").state, "fail")
    assert.include(Findings.node("20.20.2").remedy, "Node 26")
  })

  it.effect("the state directory: missing is fine, open to others is told, not writable is a failure", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      assert.deepStrictEqual(states(Findings.folder(join(folder, "not", "yet"))), ["state directory ok"])
      chmodSync(folder, 0o755)
      assert.deepStrictEqual(states(Findings.folder(folder)), ["state directory warn"])
      chmodSync(folder, 0o777)
      const [open] = Findings.folder(folder)
      assert.strictEqual(open?.state, "fail")
      assert.include(open?.remedy, "chmod 700")
      chmodSync(folder, 0o700)
      assert.deepStrictEqual(states(Findings.folder(folder)), ["state directory ok"])
      assert.deepStrictEqual(readdirSync(folder), [])
    })
  )

  it("the file system and the space on it", () => {
    assert.deepStrictEqual(
      Findings.disk("/tmp").map(({ name }) => name),
      ["file system", "disk"]
    )
    assert.deepStrictEqual(
      Findings.judge(0x6969, 10 * 1024 ** 3).map(({ state }) => state),
      ["fail", "ok"]
    )
    assert.include(Findings.judge(0x6969, 0)[0]?.detail, "NFS")
    for (const [type, allowed, state] of [
      [0x6969, true, "warn"],
      [0x0bd00bd0, false, "fail"],
      [0xff534d42 | 0, false, "fail"],
      [0x01021997, false, "warn"]
    ] as const) {
      assert.strictEqual(Findings.judge(type, 10 * 1024 ** 3, allowed)[0]?.state, state, `${type}`)
    }
    assert.deepStrictEqual(
      Findings.judge(0x01021994, 500 * 1024 ** 2).map(({ state }) => state),
      ["warn", "warn"]
    )
    assert.deepStrictEqual(
      Findings.judge(0xef53, 50 * 1024 ** 2).map(({ detail, state }) => `${state} ${detail}`),
      ["ok local", "fail 50 MiB free"]
    )
  })

  it.effect("the token: not there yet, private, or readable for others", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const configuration = yield* loaded(folder, "")
      const look = (place: Sources.Place) => Findings.tokens(place, configuration)
      assert.match((yield* look(placeOf(folder)))[0]?.detail ?? "", /made at the first start/)
      writeFileSync(join(folder, "token"), `${"a".repeat(20)}\n${"b".repeat(20)}\n`, { mode: 0o600 })
      const [weak] = yield* look(placeOf(folder))
      assert.match(weak?.detail ?? "", /^two, one of which should go soon.*easy to guess/)
      assert.strictEqual(weak?.state, "warn")
      writeFileSync(join(folder, "token"), "9f86d081884c7d659a2feaa0c55ad015\n", { mode: 0o600 })
      assert.strictEqual((yield* look(placeOf(folder)))[0]?.state, "ok")
      chmodSync(join(folder, "token"), 0o640)
      const [finding] = yield* look(placeOf(folder))
      assert.strictEqual(finding?.state, "fail")
      assert.include(finding?.detail, "chmod 600")
    })
  )

  it.effect("the programs, folders and secrets of agents", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      mkdirSync(join(folder, "bin"))
      writeFileSync(join(folder, "bin", "plain"), "")
      writeFileSync(join(folder, "bin", "agent"), "#!/bin/sh\n", { mode: 0o755 })
      writeFileSync(join(folder, "answer.sh"), "#!/bin/sh\n", { mode: 0o755 })
      writeFileSync(join(folder, "script.sh"), "#!/bin/sh\n")
      writeFileSync(join(folder, "key"), "secret")
      chmodSync(join(folder, "key"), 0o644)
      const configuration = yield* loaded(
        folder,
        `agents:
  echo: { kind: demo }
  here: { kind: command, argv: [./bin/agent] }
  plain: { kind: command, argv: [./bin/plain] }
  beside: { kind: command, argv: [answer.sh] }
  script: { kind: command, argv: [script.sh] }
  path: { kind: command, argv: [node] }
  missing: { kind: command, argv: [no-such-program-4711] }
  speaks: { kind: acp, argv: [node, --acp] }
  silent: { kind: acp, argv: [no-such-agent-4711, --acp] }
  nowhere: { kind: command, argv: [node], cwd: gone }
  unwritten: { kind: command, argv: [node, answer.mjs] }
`
      )
      assert.deepStrictEqual(states(yield* Findings.agents(configuration)), [
        "agent echo ok",
        "agent here ok",
        "agent plain fail",
        "agent beside fail",
        "agent script fail",
        "agent path ok",
        "agent missing fail",
        "agent speaks ok",
        "agent silent fail",
        "agent nowhere fail",
        "agent unwritten fail"
      ])
      assert.deepStrictEqual(Programs.warnings(configuration), [
        `agent "plain": program "./bin/plain" is not executable; run chmod +x on it, or put its interpreter first, as in ["node","./bin/plain"]`,
        `agent "beside": program "answer.sh" is not found; a name without a slash is looked for on PATH only: for the file in ${folder} write "./answer.sh"`,
        `agent "script": program "script.sh" is not found; a name without a slash is looked for on PATH only: for the file in ${folder} write "./script.sh"; it is not executable: run chmod +x on it, or put its interpreter first, as in ["sh","./script.sh"]`,
        `agent "missing": program "no-such-program-4711" is not found; install it, correct argv[0], or correct PATH`,
        `agent "silent": program "no-such-agent-4711" is not found; install it, correct argv[0], or correct PATH`,
        `agent "nowhere": its folder ${join(folder, "gone")} does not exist; create it or correct cwd`,
        `agent "unwritten": its script ${join(folder, "answer.mjs")} does not exist; write it, correct argv[1], or correct cwd`
      ])
      const withSecret = yield* loaded(
        folder,
        "agents: { a: { kind: command, argv: [node], secrets: { KEY: key } } }\n"
      )
      const [secret] = yield* Findings.agents(withSecret)
      assert.strictEqual(secret?.state, "fail")
      assert.match(secret?.detail ?? "", /agents\.a\.secrets\.KEY.*others can read it.*chmod 600/)
      assert.notInclude(secret?.detail, "secret\n")
    })
  )

  it.live("the Claude Code CLI: whether it is there, what it is, and how old", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const program = (name: string, says: string) =>
        writeFileSync(join(folder, name), `#!/bin/sh\n[ "$1" = --version ] && ${says}\n`, { mode: 0o755 })
      program("new", 'echo "2.1.329 (Claude Code)"')
      program("old", 'echo "1.0.3 (Claude Code)"')
      program("other", 'echo "frobnicate 7"')
      program("broken", "exit 3")
      const configuration = yield* loaded(
        folder,
        `agents:
${["new", "old", "other", "broken", "missing"].map((name) => `  ${name}: { kind: claude-code, argv: [./${name}] }`).join("\n")}
`
      )
      const found = yield* Findings.agents(configuration)
      assert.deepStrictEqual(states(found), [
        "agent new ok",
        "agent old warn",
        "agent other fail",
        "agent broken fail",
        "agent missing fail"
      ])
      assert.include(found[0]?.detail, "2.1.329 (Claude Code)")
      assert.match(found[1]?.remedy ?? "", /update it: version 2 or newer/)
      assert.match(found[2]?.remedy ?? "", /is it the Claude Code CLI\?/)
    })
  )

  it.effect("the store: whole, damaged, or in use", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const place = placeOf(folder)
      assert.match((yield* Findings.store(place, false))[0]?.detail ?? "", /made at the first start/)
      const database = new DatabaseSync(join(folder, "journal.db"))
      database.exec("create table t (x); insert into t values (1)")
      database.close()
      assert.deepStrictEqual(states(yield* Findings.store(place, false)), ["store ok"])
      assert.match((yield* Findings.store(place, true))[0]?.detail ?? "", /in use/)
      writeFileSync(join(folder, "journal.db"), "no database at all, whatever its name says".repeat(100))
      const [damaged] = yield* Findings.store(place, false)
      assert.strictEqual(damaged?.state, "fail")
      assert.include(damaged?.remedy, "keep a copy")
    })
  )

  it.effect("the port", () =>
    Effect.gen(function* () {
      const server = createServer()
      const port = yield* Effect.callback<number>((resume) => {
        server.listen(0, "127.0.0.1", () => {
          const address = server.address()
          resume(Effect.succeed(typeof address === "object" && address !== null ? address.port : 0))
        })
      })
      const http = (yield* loaded(yield* temporaryFolder, "")).configuration.http
      const taken = yield* Findings.port({ ...http, port })
      assert.strictEqual(taken.state, "fail")
      assert.include(taken.remedy, "SLUICE_PORT")
      yield* Effect.callback<void>((resume) => {
        server.close(() => resume(Effect.void))
      })
      assert.strictEqual((yield* Findings.port({ ...http, port })).state, "ok")
    })
  )

  it.effect("W4: the address, the names and the pages: who can reach the gateway, and what they could do with it", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const look = (yaml: string) =>
        Effect.map(loaded(folder, yaml), ({ configuration }) => Guards.guards(configuration))
      assert.deepStrictEqual(states(yield* look("")), ["address ok", "origins ok", "connections ok", "requests ok"])
      const open = yield* look("http: { host: 0.0.0.0, exposed: true }\n")
      assert.deepStrictEqual(states(open), [
        "address warn",
        "hosts fail",
        "origins ok",
        "connections ok",
        "requests ok"
      ])
      assert.include(open[0]?.remedy, "TLS")
      assert.include(open[1]?.remedy, "http.allowedHosts")
      const named = yield* look("http: { host: 0.0.0.0, exposed: true, allowedHosts: [gateway.example.org] }\n")
      assert.deepStrictEqual(states(named), ["address warn", "origins ok", "connections ok", "requests ok"])
      const pages = (origin: string) => look(`http: { allowedOrigins: ["${origin}"] }\n`)
      assert.deepStrictEqual(
        [
          (yield* pages("http://console.example"))[1]?.state,
          (yield* pages("https://console.example"))[1]?.state,
          (yield* pages("http://localhost:5173"))[1]?.state
        ],
        ["warn", "ok", "ok"]
      )
      assert.strictEqual((yield* look("limits: { sockets: 4096 }\n"))[2]?.state, "warn")
      const [, , , requests] = yield* look("")
      assert.match(
        requests?.detail ?? "",
        /^bodies of at most 1 MiB, a head within 10 seconds.* 50 messages a second of/
      )
      for (const bound of ["headerTimeout: 2 minutes", "sender: { perSecond: 9000 }"]) {
        const found = (yield* look(`limits: { ${bound} }\n`))[3]
        assert.deepStrictEqual([found?.name, found?.state], ["requests", "warn"], bound)
      }
    })
  )

  it.effect("W4: the open files of the system against the connections that are allowed", () =>
    Effect.gen(function* () {
      const { configuration } = yield* loaded(yield* temporaryFolder, "")
      const line = (most: string) => `Max processes 1 1 processes\nMax open files            ${most}   524288   files\n`
      assert.deepStrictEqual(states(Guards.openFiles(configuration, line("1024"))), ["open files warn"])
      assert.deepStrictEqual(states(Guards.openFiles(configuration, line("1048576"))), ["open files ok"])
      assert.deepStrictEqual(Guards.openFiles(configuration, ""), [])
      assert.strictEqual(Guards.limitsOf(2 ** 30), "")
    })
  )

  it("W4: the user that agents run commands as, and tokens that are easy to guess", () => {
    assert.deepStrictEqual(states([0, 1000, undefined].flatMap(Guards.user)), ["user warn", "user ok"])
    const weak = ["aaaaaaaaaaaaaaaaaaaaaaaa", "1234567890123456", "passwordpassword", "correcthorsebatt"]
    const strong = ["9f86d081884c7d659a2feaa0c55ad015", "correct-horse-battery-staple", "Xk29fhQ0vT7pLm3e"]
    for (const token of weak) assert.isTrue(Guards.isWeak(Redacted.make(token)), token)
    for (const token of strong) assert.isFalse(Guards.isWeak(Redacted.make(token)), token)
  })

  it("what a running gateway says it lacks", () => {
    const [finding] = Findings.readiness(503, { ready: false, problems: ["resuming is paused"] }, "http://x")
    assert.strictEqual(finding?.state, "warn")
    assert.include(finding?.detail, "resuming is paused")
    const channels = [
      { name: "http", state: "up", problems: [] },
      { name: "telegram", state: "down", problems: ["the token was refused (401)"] },
      { name: "slack", state: "stopped", problems: [] }
    ]
    assert.deepStrictEqual(Findings.readiness(503, { ready: false, problems: [], channels }, "http://x").slice(1), [
      {
        name: "channel telegram",
        state: "warn",
        detail: "is down: the token was refused (401)",
        remedy: "see: sluice channels"
      },
      {
        name: "channel slack",
        state: "warn",
        detail: "was stopped by hand: nothing is taken or sent",
        remedy: "sluice channels start slack"
      }
    ])
    assert.strictEqual(Findings.readiness(200, { ready: true, problems: [] }, "http://x")[0]?.state, "ok")
  })
})

describe("sluice doctor", () => {
  it.live("ends with 1 and the number of things when something must be put right, and changes nothing", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      writeFileSync(join(folder, "sluice.yaml"), "agents: { a: { kind: command, argv: [no-such-program-4711] } }\n")
      const { code, out } = yield* tool(folder, ["doctor"], { SLUICE_STOP_BUDGET: "5s" })
      assert.strictEqual(code, 1)
      assert.match(out, /fail {2}agent a .*"no-such-program-4711" is not found\n.*install it/)
      assert.match(
        out,
        /warn {2}deadline .* at most 3\.8 s, drain\.timeout is 30 seconds\n {23}why: .*\n {23}\(when the gateway is started from here/
      )
      // More of them where the tests run as root, may open few files, or lie on a file system that goes with the machine.
      assert.match(out, /1 thing to put right, \d+ warnings? to look at$/)
      assert.deepStrictEqual(readdirSync(folder), ["sluice.yaml"])
    }).pipe(Effect.scoped)
  )

  it.live("tells a broken configuration key by key and looks at the rest all the same", () =>
    Effect.gen(function* () {
      const gateway = yield* start()
      writeFileSync(join(gateway.folder, "sluice.yaml"), "http: { prot: 1 }\n")
      const { code, json } = yield* tool(gateway.folder, ["doctor", "--json"])
      assert.strictEqual(code, 1)
      const { findings, healthy } = json as {
        readonly healthy: boolean
        readonly findings: ReadonlyArray<Findings.Finding>
      }
      assert.isFalse(healthy)
      assert.includeMembers(states(findings), [
        "node ok",
        "configuration fail",
        "state directory ok",
        "store ok",
        "gateway ok"
      ])
    }).pipe(Effect.scoped)
  )
})
