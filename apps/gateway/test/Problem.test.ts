// Every class of mistake in a configuration: told with its key, its place, its value and a remedy, all of them at once.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { nearest } from "../src/configuration/Problem.ts"
import { type Given, problems, yaml } from "./configurations.ts"

describe("bad values", () => {
  const cases: ReadonlyArray<readonly [name: string, given: Given, expected: ReadonlyArray<string>]> = [
    [
      "a word where a number belongs",
      yaml("http:\n  port: abc\n"),
      ['http.port = "abc" (sluice.yaml:2): use a whole number from 0 to 65535']
    ],
    [
      "a number out of bounds, from a variable",
      { environment: { SLUICE_PORT: "70000" } },
      ["http.port = 70000 (SLUICE_PORT): use a whole number from 0 to 65535"]
    ],
    [
      "half a number",
      yaml("queue: { cap: 1.5 }\n"),
      ["queue.cap = 1.5 (sluice.yaml:1): use a whole number from 1 to 10000"]
    ],
    [
      "a duration without a unit",
      yaml("drain: { timeout: 30 }\n"),
      ['drain.timeout = 30 (sluice.yaml:1): use a duration from 1 second to 24 hours, such as "30 seconds"']
    ],
    [
      "a duration in a unit that there is not",
      yaml("drain: { timeout: 3 parsecs }\n"),
      ['drain.timeout = "3 parsecs" (sluice.yaml:1): use a duration from 1 second to 24 hours, such as "30 seconds"']
    ],
    [
      "a duration out of bounds",
      yaml("session: { idleTimeout: 3 hours }\n"),
      [
        'session.idleTimeout = "3 hours" (sluice.yaml:1): use a duration from 1 minute to 120 minutes, such as "10 minutes"'
      ]
    ],
    [
      "a size that is none",
      yaml("limits: { body: big }\n"),
      ['limits.body = "big" (sluice.yaml:1): use a size from 1 KiB to 64 MiB, such as "1 MiB"']
    ],
    [
      "a word that is not one of the words",
      yaml("log: { level: inf }\n"),
      ['log.level = "inf" (sluice.yaml:1): use one of trace, debug, info, warn, error, none; did you mean "info"?']
    ],
    [
      "neither true nor false",
      { environment: { SLUICE_HTTP_EXPOSED: "maybe" } },
      ['http.exposed = "maybe" (SLUICE_HTTP_EXPOSED): use true or false']
    ],
    [
      "a value where keys belong",
      yaml("queue: 7\n"),
      ["queue = 7 (sluice.yaml:1): use keys and values; known here: mode, cap, drop"]
    ],
    [
      "a value where keys belong, with a variable below it",
      yaml("queue: 7\n", { SLUICE_QUEUE_CAP: "3" }),
      ["queue = 7 (sluice.yaml:1): use keys and values; known here: mode, cap, drop"]
    ],
    [
      "an unknown key",
      yaml("htpp: { port: 1 }\n"),
      ['htpp = {"port":1} (sluice.yaml:1): unknown key; did you mean "http"?']
    ],
    [
      "a secret in the file, which is shown nowhere",
      yaml("channels:\n  slack: { tokenFile: a, signingSecret: 8f742231b10e }\n"),
      [
        'channels.slack.signingSecret = "..." (sluice.yaml:2): unknown key; a secret stands in a file of its own, which is named here; did you mean "signingSecretFile"?'
      ]
    ],
    [
      "a secret in a section that is not known",
      yaml(
        'slack: { token: xoxb-1-2-a, other: { appKey: b }, list: ["sk-abcdefghijkl", "123456:abcdefghijklmnopqrstuvwxyz-_0123"] }\n'
      ),
      [
        'slack = {"token":"...","other":{"appKey":"..."},"list":["sk-...","..."]} (sluice.yaml:1): unknown key; known here: stateDirectory, networkFileSystem, timeZone, http, limits, drain, debounce, queue, session, turns, questions, notices, agents, personas, prices, budgets, channels, pools, retention, log'
      ]
    ],
    [
      "keys beside a name instead of below it",
      yaml("agents:\n  main:\n  kind: command\n"),
      [
        'agents.kind = "command" (sluice.yaml:3): stands beside a name instead of below it; indent it one step further, so that it is agents.<name>.kind'
      ]
    ],
    [
      "a list where names belong",
      yaml("agents:\n  - { name: main, kind: demo }\n"),
      [
        'agents = [{"name":"main","kind":"demo"}] (sluice.yaml:2): use names, each with its keys below it, such as `agents: { main: { kind: demo } }`'
      ]
    ],
    [
      "a colon without its space",
      yaml("http:\n  port:5000\nlog:{ level: info }\n"),
      [
        'log:{ level = "info }" (sluice.yaml:3): unknown key; a colon needs a space behind it, as in `log: ...`',
        'http = "port:5000" (sluice.yaml:2): a colon needs a space behind it, as in `port: ...`'
      ]
    ],
    [
      "what has another name elsewhere",
      yaml("agents:\n  a: { kind: claude-code, env: { A: b } }\n  b: { kind: claude }\nstateDir: x\n"),
      [
        'stateDir = "x" (sluice.yaml:4): unknown key; did you mean "stateDirectory"?',
        'agents.a.env = {"A":"b"} (sluice.yaml:2): unknown key; did you mean "variables" or "environment"?',
        'agents.b.kind = "claude" (sluice.yaml:3): use one of demo, command, acp, claude-code, model; did you mean "claude-code"?'
      ]
    ],
    [
      "a number in quotation marks, a share in percent, and a size in other units",
      yaml('http: { port: "5000" }\nlimits: { poolMemory: 60%, body: 2 MB }\n'),
      [
        'http.port = "5000" (sluice.yaml:1): use a whole number from 0 to 65535, without quotation marks',
        'limits.body = "2 MB" (sluice.yaml:2): use a size from 1 KiB to 64 MiB, such as "1 MiB"; did you mean "2 MiB"?',
        'limits.poolMemory = "60%" (sluice.yaml:2): use a number from 0.01 to 1; did you mean 0.6?'
      ]
    ],
    [
      "a persona that says no agent",
      yaml("personas: { parrot: { systemPrompt: x } }\n"),
      ["personas.parrot.agent (sluice.yaml:1): is missing; use the name of one of the `agents`"]
    ],
    ["a key in the wrong place", yaml("port: 1\n"), ["port = 1 (sluice.yaml:1): unknown key; did you mean http.port?"]],
    [
      "an unknown kind of agent",
      yaml("agents:\n  a: { kind: comand }\n"),
      [
        'agents.a.kind = "comand" (sluice.yaml:2): use one of demo, command, acp, claude-code, model; did you mean "command"?'
      ]
    ],
    [
      "an agent without a kind",
      yaml("agents:\n  a: { argv: [x] }\n"),
      ["agents.a.kind (sluice.yaml:2): is missing; use one of demo, command, acp, claude-code, model"]
    ],
    [
      "a command without argv",
      yaml("agents:\n  a: { kind: command }\n"),
      [
        'agents.a.argv (sluice.yaml:2): is missing; use a list with the program and its arguments, such as ["node", "answer.mjs"]'
      ]
    ],
    [
      "an empty argv",
      yaml("agents:\n  a: { kind: command, argv: [] }\n"),
      [
        'agents.a.argv = [] (sluice.yaml:2): use a list with the program and its arguments, such as ["node", "answer.mjs"]'
      ]
    ],
    [
      "a number among texts",
      yaml("agents:\n  a: { kind: command, argv: [node, 1] }\n"),
      [
        'agents.a.argv = ["node",1] (sluice.yaml:2): use a list with the program and its arguments, such as ["node", "answer.mjs"]'
      ]
    ],
    [
      "a secret passed to an agent",
      yaml("agents:\n  a: { kind: command, argv: [x], environment: [SLUICE_TOKEN] }\n"),
      [
        'agents.a.environment = ["SLUICE_TOKEN"] (sluice.yaml:2): use a list of variable names such as "HTTPS_PROXY", without the gateway\'s own (SLUICE_...)'
      ]
    ],
    [
      "a variable of the gateway's own",
      yaml("agents:\n  a: { kind: command, argv: [x], secrets: { SLUICE_TOKEN: x } }\n"),
      [
        'agents.a.secrets = "SLUICE_TOKEN" (sluice.yaml:2): use the name of a variable, letters, digits and _, without the gateway\'s own (SLUICE_...)'
      ]
    ],
    [
      "a name that could be a path",
      yaml('agents:\n  "../x": { kind: demo }\n'),
      [
        'agents = "../x" (sluice.yaml:2): use a name of letters, digits, _ and - that begins with a letter and has at most 64 characters'
      ]
    ],
    [
      "a channel that there is not",
      yaml("channels:\n  telegramm: { tokenFile: x }\n"),
      [
        'channels.telegramm (sluice.yaml:2): there is no such channel; did you mean "telegram"?; known here: telegram, slack; HTTP is configured under http, the terminal is `sluice chat`'
      ]
    ],
    [
      "an id of a person that is none of Slack's",
      yaml("channels:\n  slack: { tokenFile: t, signingSecretFile: s, allow: [kim] }\n"),
      ['channels.slack.allow = ["kim"] (sluice.yaml:2): use a list of ids, such as ["U012AB3CD", "C024BE91L"]']
    ],
    [
      "an app without secrets",
      yaml("channels:\n  slack: {}\n"),
      [
        "channels.slack (sluice.yaml:2): has no bot token; give it tokenFile, a file with the bot token (xoxb-...) of OAuth & Permissions",
        "channels.slack (sluice.yaml:2): has no signing secret; give it signingSecretFile, a file with the signing secret of Basic Information, without which nobody is heard"
      ]
    ],
    [
      "an app with two of a secret",
      yaml("channels:\n  slack: { tokenFile: t, signingSecretFile: s, signingSecretVariable: S }\n"),
      [
        "channels.slack (sluice.yaml:2): has two of a signing secret; give it either signingSecretFile or signingSecretVariable"
      ]
    ],
    [
      "a persona for an agent that there is not",
      yaml("agents: { main: { kind: demo } }\npersonas:\n  p: { agent: mian }\n"),
      ['personas.p.agent = "mian" (sluice.yaml:3): there is no such agent; did you mean "main"?; agents: main']
    ],
    [
      "an address that others can reach",
      yaml("http: { host: 0.0.0.0 }\n"),
      [
        'http.host = "0.0.0.0" (sluice.yaml:1): others can reach this address; use 127.0.0.1, or set http.exposed: true (SLUICE_HTTP_EXPOSED=true) when that is meant'
      ]
    ],
    [
      "a cap shorter than the quiet period",
      yaml("debounce: { quiet: 2s, atMost: 1s }\n"),
      [
        'debounce.atMost = "1 seconds" (sluice.yaml:1): is shorter than debounce.quiet (2 seconds); use at least that, or leave it out for five times as long'
      ]
    ],
    [
      "a time zone that there is not",
      yaml("timeZone: Mars/Base\n"),
      ['timeZone = "Mars/Base" (sluice.yaml:1): use a name of the time zone database, such as "Europe/Berlin"']
    ],
    [
      "an origin with a path",
      yaml("http: { allowedOrigins: ['https://a.example/x'] }\n"),
      [
        'http.allowedOrigins = ["https://a.example/x"] (sluice.yaml:1): use a list of origins, such as "https://console.example.org"'
      ]
    ],
    [
      "the variable that Kubernetes sets for a service of that name",
      { environment: { SLUICE_PORT: "tcp://10.0.0.1:4747" } },
      [
        'http.port = "tcp://10.0.0.1:4747" (SLUICE_PORT): use a whole number from 0 to 65535. Kubernetes sets this variable for a service named "sluice": set enableServiceLinks: false in the pod, or rename the service'
      ]
    ],
    [
      "a flag for a setting that there is not",
      { flags: [{ path: ["http", "prt"], value: "1", name: "--set" }] },
      [
        'http.prt = "1" (--set): there is no such setting; did you mean "http.port"?; docs/configuration.md has them all'
      ]
    ],
    [
      "a value with an escape sequence",
      yaml('log: { level: "\\u001b[31m" }\n'),
      ['log.level = "\\u001b[31m" (sluice.yaml:1): use one of trace, debug, info, warn, error, none']
    ],
    [
      "several at once, from all sources",
      {
        ...yaml("http: { port: x }\nlog: { level: loud }\n", { SLUICE_QUEUE_CAP: "many" }),
        flags: [{ path: ["turns", "limit"], value: "0", name: "--set" }]
      },
      [
        'http.port = "x" (sluice.yaml:1): use a whole number from 0 to 65535',
        'queue.cap = "many" (SLUICE_QUEUE_CAP): use a whole number from 1 to 10000',
        "turns.limit = 0 (--set): use a whole number from 1 to 10000",
        'log.level = "loud" (sluice.yaml:2): use one of trace, debug, info, warn, error, none'
      ]
    ]
  ]
  for (const [name, given, expected] of cases) {
    it.effect(`names key, place, value and remedy of ${name}`, () =>
      Effect.gen(function* () {
        assert.deepStrictEqual(yield* problems(given), expected)
      })
    )
  }
})

describe("files that can't be used", () => {
  const files: ReadonlyArray<readonly [name: string, given: Given, expected: RegExp]> = [
    ["broken YAML names its line", yaml("http:\n  port: [\n"), /\(sluice.yaml:\d\): Flow sequence/],
    ["a key that is written twice", yaml("http: {}\nhttp: {}\n"), /\(sluice.yaml:2\): Map keys must be unique/],
    [
      "a key twice in JSON",
      { files: { "sluice.json": '{"a": 1,\n"a": 2}' } },
      /sluice.json:2\): Map keys must be unique/
    ],
    ["JSON with a comma too many", { files: { "sluice.json": '{"a": 1,}' } }, /sluice.json\): .*position/],
    ["broken TOML names its line", { files: { "sluice.toml": "[http]\nport = \n" } }, /sluice.toml:2\): Invalid TOML/],
    [
      "broken YAML shows its line, without a secret, and says what to do",
      yaml("channels:\n  slack:\n    signingSecret: 8f742231: b10e\n"),
      /^configuration file = "signingSecret: \.\.\." \(sluice.yaml:3\): .*; keys of one section begin in the same column/
    ],
    ["a tab", yaml("http:\n\tport: 1\n"), /= "port: 1" \(sluice.yaml:2\): .*; indent with spaces$/],
    [
      "what is not closed, told at its line and not behind the end",
      yaml('http:\n  host: "localhost\n\n'),
      /= "host: \\"localhost" \(sluice.yaml:2\): Missing closing .*; what is opened has to be closed/
    ],
    ["a list instead of keys", yaml("- 1\n"), /must hold keys and values/],
    ["bytes that are no text", { files: { "sluice.yaml": new Uint8Array([0xff, 0xfe, 0x41]) } }, /it is not UTF-8/],
    ["a file of megabytes", yaml(`# ${"x".repeat(2 ** 20)}\n`), /has \d+ bytes, at most 1048576/],
    [
      "aliases that unfold to gigabytes",
      yaml(
        "a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: [*c,*c,*c,*c,*c]\n"
      ),
      /Excessive alias count/
    ],
    [
      "a named file that is not there",
      { environment: { SLUICE_CONFIG: "no.yaml" } },
      /no.yaml" \(SLUICE_CONFIG\): it does not exist/
    ],
    [
      "a file of an unknown kind",
      { files: { "a.ini": "" }, file: "a.ini" },
      /\(--config\): its format follows from its extension/
    ]
  ]
  for (const [name, given, expected] of files) {
    it.effect(name, () =>
      Effect.gen(function* () {
        assert.match((yield* problems(given)).join("\n"), expected)
      })
    )
  }

  it.effect("keys named __proto__ or constructor change nothing and are refused", () =>
    Effect.gen(function* () {
      const lines = yield* problems(
        yaml("__proto__: { exposed: true }\nagents: { __proto__: { kind: demo } }\nconstructor: 1\n")
      )
      assert.strictEqual(lines.length, 3)
      assert.notProperty({}, "exposed")
    })
  )
})

describe("names that were probably meant", () => {
  it("are found over case, dashes and typing errors, and not when nothing is near", () => {
    assert.strictEqual(nearest("start-within", ["startWithin", "timeout"]), "startWithin")
    assert.strictEqual(nearest("tiemout", ["startWithin", "timeout"]), "timeout")
    assert.strictEqual(nearest("zebra", ["startWithin", "timeout"]), undefined)
  })
})
