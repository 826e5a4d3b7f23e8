// The configuration is where a person and the program meet first: every class of mistake is told with its key, its
// place, its value and a remedy, all of them at once, and nothing is started with half of a configuration.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Configuration from "../src/Configuration.ts"
import * as Sources from "../src/ConfigurationSources.ts"
import { nearest } from "../src/Problem.ts"
import * as Setting from "../src/Setting.ts"

interface Given extends Partial<Omit<Sources.Sources, "folder">> {
  readonly files?: { readonly [name: string]: string | Uint8Array }
}

const inFolder = <A, E>(given: Given, use: (sources: Sources.Sources) => Effect.Effect<A, E>) =>
  Effect.acquireUseRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "sluice-configuration-"))),
    (folder) => {
      for (const [name, content] of Object.entries(given.files ?? {})) writeFileSync(join(folder, name), content)
      const { files: _, ...sources } = given
      return use({ environment: {}, folder, ...sources })
    },
    (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
  )

const load = (given: Given) => inFolder(given, Sources.load)

/** The problems of a configuration, each as one line. */
const problems = (given: Given) =>
  load(given).pipe(
    Effect.flip,
    Effect.map((error) => error.message.split("\n"))
  )

const yaml = (text: string, environment: Sources.Sources["environment"] = {}) => ({
  files: { "sluice.yaml": text },
  environment
})

describe("defaults", () => {
  it.effect("without any file there is one demo agent on 127.0.0.1:4747 with its state in .sluice", () =>
    inFolder({}, (sources) =>
      Effect.gen(function* () {
        const { configuration, file, warnings } = yield* Sources.load(sources)
        assert.strictEqual(file, undefined)
        assert.deepStrictEqual(warnings, [])
        assert.deepStrictEqual(configuration.agents, { demo: { kind: "demo" } })
        assert.deepStrictEqual(configuration.personas, { default: { agent: "demo" } })
        assert.strictEqual(configuration.http.host, "127.0.0.1")
        assert.strictEqual(configuration.http.port, 4747)
        assert.strictEqual(configuration.stateDirectory, join(sources.folder, ".sluice"))
      })
    )
  )

  it("every default is a value that its own setting accepts", () => {
    for (const { default: value, kind, path } of Configuration.settings) {
      if (kind === "duration" && typeof value === "string") {
        assert.isDefined(Setting.millisOf(value), path.join("."))
      }
      if (kind === "size" && value !== undefined) assert.isNumber(value, path.join("."))
    }
  })

  it("no two settings share a variable", () => {
    const variables = Configuration.settings.flatMap((setting) => setting.variable ?? [])
    assert.deepStrictEqual([...new Set(variables)], variables)
  })
})

describe("sources", () => {
  it.effect("a variable overrides the file, a flag overrides the variable", () =>
    Effect.gen(function* () {
      const { configuration, origin } = yield* load({
        files: { "sluice.yaml": "http:\n  port: 1001\n  host: localhost\ndrain:\n  timeout: 11 seconds\n" },
        environment: { SLUICE_PORT: "1002", SLUICE_HOST: "127.0.0.2" },
        flags: [{ path: ["http", "port"], value: "1003", name: "--port" }]
      })
      assert.strictEqual(configuration.http.port, 1003)
      assert.strictEqual(configuration.http.host, "127.0.0.2")
      assert.strictEqual(configuration.drain.timeout, "11 seconds")
      assert.strictEqual(origin(["http", "port"]), "--port")
      assert.strictEqual(origin(["http", "host"]), "SLUICE_HOST")
      assert.strictEqual(origin(["drain", "timeout"]), "sluice.yaml:5")
      assert.strictEqual(origin(["queue", "cap"]), "default")
    })
  )

  it.effect("YAML, TOML and JSON mean the same", () =>
    Effect.gen(function* () {
      const files = {
        "a.yaml": "agents:\n  main: { kind: command, argv: [node, answer.mjs] }\nlimits: { body: 2 MiB }\n",
        "a.toml": '[agents.main]\nkind = "command"\nargv = ["node", "answer.mjs"]\n[limits]\nbody = "2 MiB"\n',
        "a.json":
          '{"agents": {"main": {"kind": "command", "argv": ["node", "answer.mjs"]}}, "limits": {"body": 2097152}}'
      }
      for (const file of Object.keys(files)) {
        const { configuration } = yield* load({ files, file })
        assert.deepStrictEqual(configuration.agents, { main: { kind: "command", argv: ["node", "answer.mjs"] } }, file)
        assert.deepStrictEqual(configuration.personas, { default: { agent: "main" } }, file)
        assert.strictEqual(configuration.limits.body, 2 * 1024 ** 2, file)
      }
    })
  )

  it.effect("a relative path in the file belongs to the file's folder, one in a variable to the working folder", () =>
    inFolder({}, (sources) =>
      Effect.gen(function* () {
        const inner = join(sources.folder, "etc")
        mkdirSync(inner)
        writeFileSync(
          join(inner, "s.yaml"),
          "stateDirectory: state\nhttp: { tokenFile: ../token }\nagents: { a: { kind: command, argv: [x], cwd: work } }\n"
        )
        const found = yield* Sources.load({ ...sources, file: "etc/s.yaml" })
        assert.strictEqual(found.configuration.stateDirectory, join(inner, "state"))
        assert.strictEqual(found.configuration.http.tokenFile, join(sources.folder, "token"))
        const agent = found.configuration.agents["a"]
        assert.strictEqual(agent?.kind === "command" ? agent.cwd : undefined, join(inner, "work"))
        const environment = { SLUICE_STATE_DIR: "other", SLUICE_CONFIG: "etc/s.yaml" }
        const over = yield* Sources.load({ ...sources, environment })
        assert.strictEqual(over.configuration.stateDirectory, join(sources.folder, "other"))
      })
    )
  )

  it.effect("short durations, sizes and words are read as in the long form, from variables too", () =>
    Effect.gen(function* () {
      const { configuration } = yield* load(
        yaml("drain: { timeout: 20s }\n", {
          SLUICE_DEBOUNCE_QUIET: "150ms",
          SLUICE_TURNS_BACKOFF: "1s, 2 minutes",
          SLUICE_LIMITS_BODY: "2 mib",
          SLUICE_HTTP_EXPOSED: "yes",
          SLUICE_HTTP_ALLOWED_HOSTS: "a.example.org,b.example.org",
          SLUICE_QUEUE_CAP: ""
        })
      )
      assert.strictEqual(configuration.drain.timeout, "20 seconds")
      assert.strictEqual(configuration.debounce.quiet, "150 millis")
      assert.deepStrictEqual(configuration.turns.backoff.map(Setting.millisOf), [1000, 120_000])
      assert.strictEqual(configuration.limits.body, 2 * 1024 ** 2)
      assert.isTrue(configuration.http.exposed)
      assert.deepStrictEqual(configuration.http.allowedHosts, ["a.example.org", "b.example.org"])
      assert.strictEqual(configuration.queue.cap, 20)
    })
  )

  it.effect("a variable that is not known is told with the one that was meant, and stops nothing", () =>
    Effect.gen(function* () {
      const { warnings } = yield* load({ environment: { SLUICE_PROT: "1", SLUICE_SUPERVISED: "1", PATH: "/bin" } })
      assert.deepStrictEqual(warnings, [
        'variable SLUICE_PROT is not known and has no effect; did you mean "SLUICE_PORT"?'
      ])
    })
  )

  it.effect("a renamed key works with a warning; when both are set the new one wins", () =>
    Effect.gen(function* () {
      const renames = [{ from: ["server", "port"], to: ["http", "port"], until: "0.3" }]
      const moved = yield* load({ ...yaml("server:\n  port: 97\n"), renames })
      assert.strictEqual(moved.configuration.http.port, 97)
      const renamedLeaf = [{ from: ["http", "prot"], to: ["http", "port"], until: "0.3" }]
      const one = yield* load({ ...yaml("http:\n  prot: 99\n"), renames: renamedLeaf })
      assert.strictEqual(one.configuration.http.port, 99)
      assert.deepStrictEqual(one.warnings, [
        "key http.prot is called http.port now; the old name works until version 0.3"
      ])
      assert.strictEqual(one.origin(["http", "port"]), "sluice.yaml:2")
      const both = yield* load({ ...yaml("http:\n  prot: 99\n  port: 98\n"), renames: renamedLeaf })
      assert.strictEqual(both.configuration.http.port, 98)
    })
  )
})

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
    ["a key in the wrong place", yaml("port: 1\n"), ["port = 1 (sluice.yaml:1): unknown key; did you mean http.port?"]],
    [
      "an unknown kind of agent",
      yaml("agents:\n  a: { kind: comand }\n"),
      ['agents.a.kind = "comand" (sluice.yaml:2): use one of demo, command; did you mean "command"?']
    ],
    [
      "an agent without a kind",
      yaml("agents:\n  a: { argv: [x] }\n"),
      ["agents.a.kind (sluice.yaml:2): is missing; use one of demo, command"]
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
      yaml("channels:\n  telegram: { tokenFile: x }\n"),
      [
        "channels.telegram (sluice.yaml:2): there is no such channel; HTTP is configured under http, the terminal is `sluice chat`"
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

// ------------------------------------------------------------------ the reference

const reference = new URL("../../../docs/configuration.md", import.meta.url)

const cell = (text: string) => text.replaceAll("|", "\\|").replaceAll("\n", " ")

const defaultText = ({ default: value, kind }: Setting.Setting) =>
  value === undefined
    ? "-"
    : kind === "size" && typeof value === "number"
      ? `\`${Setting.sizeText(value)}\``
      : `\`${typeof value === "string" ? value : JSON.stringify(value)}\``

const table = () => {
  const rows = Configuration.settings.map((setting) => {
    const type = setting.expected.split(", such as")[0] ?? ""
    const variable = setting.variable === undefined ? "-" : `\`${setting.variable}\``
    const reload =
      setting.path[0] === "agents" || setting.path[0] === "personas" || !setting.needsRestart ? "yes" : "no"
    return `| \`${setting.path.join(".")}\` | ${cell(type)} | ${defaultText(setting)} | ${variable} | ${reload} | ${cell(setting.meaning)} |`
  })
  return ["| key | type | default | variable | on reload | meaning |", "|---|---|---|---|---|---|", ...rows].join("\n")
}

describe("docs/configuration.md", () => {
  it("lists every key with its type, default, variable and meaning, exactly as the Schema has them", () => {
    const begin = "<!-- settings: written by apps/gateway/test/Configuration.test.ts with UPDATE_DOCS=1 -->\n"
    const end = "\n<!-- /settings -->"
    const page = readFileSync(reference, "utf8")
    const [before = "", rest = ""] = page.split(begin)
    const [written = "", after = ""] = rest.split(end)
    if (process.env["UPDATE_DOCS"] === "1") writeFileSync(reference, `${before}${begin}${table()}${end}${after}`)
    else assert.strictEqual(written, table())
  })

  it.effect("shows an example that is valid as it stands", () =>
    Effect.gen(function* () {
      const example = /```yaml\n(# sluice.yaml[^`]*)```/.exec(readFileSync(reference, "utf8"))?.[1] ?? ""
      assert.include(example, "agents:")
      const { warnings } = yield* load(yaml(example))
      assert.deepStrictEqual(warnings, [])
    })
  )
})
