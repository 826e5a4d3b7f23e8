// Where a configuration comes from and what is in force: defaults, file, variables, flags; and the page that lists it all.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import * as Configuration from "../src/configuration/Configuration.ts"
import * as Sources from "../src/configuration/Sources.ts"
import * as Setting from "../src/configuration/Setting.ts"
import { inFolder, load, yaml } from "./configurations.ts"

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

  it.effect("nothing needs no unit, everything else does", () =>
    Effect.gen(function* () {
      const { configuration } = yield* load(
        yaml("debounce: { quiet: 0 }\nturns: { backoff: [0, 3s] }\n", { SLUICE_DRAIN_START_WITHIN: "0" })
      )
      assert.strictEqual(configuration.debounce.quiet, "0 millis")
      assert.deepStrictEqual(configuration.turns.backoff, ["0 millis", "3 seconds"])
      assert.strictEqual(configuration.drain.startWithin, "0 millis")
      const refused = yield* Effect.flip(load(yaml("debounce: { quiet: 300 }\n", {})))
      assert.match(refused.message, /debounce\.quiet = 300 .*: use a duration from 0 millis to 10 minutes, such as/)
    })
  )

  it.effect(
    "W4: a host name that no request could carry is refused, and so is a pattern that would let everybody in",
    () =>
      Effect.gen(function* () {
        for (const name of ["https://gateway.example", "*", "*.example", "gateway.example/x", "a b", ""]) {
          const refused = yield* Effect.flip(load(yaml(`http: { allowedHosts: ["${name}"] }\n`, {})))
          assert.match(refused.message, /http\.allowedHosts.*such as "gateway\.example\.org"/, name)
        }
        const { configuration } = yield* load(
          yaml('http: { allowedHosts: ["Box:8443", "[::1]:80", "10.0.0.7"] }\n', {})
        )
        assert.strictEqual(configuration.http.allowedHosts.length, 3)
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

// ------------------------------------------------------------------ the reference

const reference = new URL("../../../docs/configuration.md", import.meta.url)

const cell = (text: string) => text.replaceAll("|", "\\|").replaceAll("\n", " ")

const defaultText = ({ default: value, kind }: Setting.Setting) =>
  value === undefined
    ? "-"
    : kind === "size" && typeof value === "number"
      ? `\`${Setting.sizeText(value)}\``
      : `\`${typeof value === "string" ? value : JSON.stringify(value)}\``

/** The keys that stand together on the page: a section of the file, and what it means for one kind. */
const headingOf = ({ member, path }: Setting.Setting) =>
  path.length === 1 ? "general" : `${path[0]}${member === undefined ? "" : ` of kind ${member}`}`

const rowOf = (setting: Setting.Setting) => ({
  key: `\`${setting.path.join(".")}\``,
  type: cell(setting.expected.split(", such as")[0] ?? ""),
  default: defaultText(setting),
  variable: setting.variable === undefined ? "-" : `\`${setting.variable}\``,
  "on reload": setting.path[0] === "agents" || setting.path[0] === "personas" || !setting.needsRestart ? "yes" : "no",
  meaning: cell(setting.meaning)
})

/** One table for each heading, without the columns that say nothing there. */
const tables = () =>
  [...Map.groupBy(Configuration.settings, headingOf)]
    .map(([heading, settings]) => {
      const rows = settings.map(rowOf)
      const columns = (["key", "type", "default", "variable", "on reload", "meaning"] as const).filter((column) =>
        rows.some((row) => row[column] !== "-")
      )
      const lines = rows.map((row) => `| ${columns.map((column) => row[column]).join(" | ")} |`)
      return [`### ${heading}`, "", `| ${columns.join(" | ")} |`, `|${"---|".repeat(columns.length)}`, ...lines].join(
        "\n"
      )
    })
    .join("\n\n")

describe("docs/configuration.md", () => {
  it("lists every key with its type, default, variable and meaning, exactly as the Schema has them", () => {
    const begin = "<!-- settings: written by apps/gateway/test/Configuration.test.ts with UPDATE_DOCS=1 -->\n"
    const end = "\n<!-- /settings -->"
    const page = readFileSync(reference, "utf8")
    const [before = "", rest = ""] = page.split(begin)
    const [written = "", after = ""] = rest.split(end)
    if (process.env["UPDATE_DOCS"] === "1") writeFileSync(reference, `${before}${begin}${tables()}${end}${after}`)
    else assert.strictEqual(written, tables())
  })

  it("lists the variables that are no keys", () => {
    const [, section = ""] = readFileSync(reference, "utf8").split("## Variables without a key")
    assert.deepStrictEqual(
      [...section.matchAll(/^\| `(SLUICE_[A-Z_]+)`/gm)].map(([, name]) => name),
      Sources.ownVariables
    )
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
