// What agents of each kind do wrong, all of it beside each other in one gateway: programs that are missing, speak
// garbage, end at once, never get ready or die in mid-turn, and models that refuse, say nothing or break off. Each has its
// sentence in the chat, its cause in the log under the sentence's reference, and no other session feels anything of it.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { standIn } from "../../../../packages/agents/test/standIn/openai.ts"
import { start } from "../harness.ts"
import { acpProgram, claudeProgram, descendants, each, showing, talk } from "../kinds.ts"

const node = process.execPath

/** What is wrong, with an agent that does it, what is said to it, and the cause as the log must tell it. */
type Wrong = readonly [what: string, agent: object, says: string, cause: RegExp]

const command = (script: string, more: object = {}) => ({ kind: "command", argv: [node, "-e", script], ...more })
const acp = (flag: string, more: object = {}) => ({ kind: "acp", argv: [node, acpProgram, flag], ...more })
const claude = (mode: string, more: object = {}) => ({
  kind: "claude-code",
  argv: [node, claudeProgram, mode],
  ...more
})
const forever = "setInterval(() => {}, 1000)"
const missing = /program "no-such-program" was not found on PATH .*: install it or give its whole path/

const programs: ReadonlyArray<Wrong> = [
  ["command-missing", { kind: "command", argv: ["no-such-program"] }, "hello", missing],
  ["command-exits", command('console.error("no key"); process.exit(3)'), "hello", /ended with code 3: no key/],
  ["command-dies", command('process.stdout.write("half", () => process.abort())'), "hello", /ended by SIGABRT/],
  ["command-silent", command(forever, { stallTimeout: "1 second" }), "hello", /no progress for 1000 ms/],
  ["acp-missing", { kind: "acp", argv: ["no-such-program"] }, "hello", missing],
  ["acp-garbage", acp("--garbage"), "hello", /prints what is no message of the protocol: "this is a chat/],
  ["acp-exits", acp("--exit"), "hello", /ended with code 3; on standard error it said: cannot start: no key/],
  ["acp-dies", acp("--load"), "die", /ended with code 9; on standard error it said: out of memory/],
  ["acp-silent", acp("--mute", { initTimeout: "1 second" }), "hello", /did not answer "initialize" within 1s/],
  ["acp-fails", acp("--load"), "fail", /answered session\/prompt with an error: .*asked to fail/],
  ["claude-missing", { kind: "claude-code", argv: ["no-such-program"] }, "hello", missing],
  ["claude-garbage", claude("garbage"), "hello", /Welcome to something else.*is it the Claude Code CLI\?/],
  ["claude-exits", claude("exits"), "hello", /ended with code 3; on standard error it said: no space left on device/],
  ["claude-dies", claude("dies"), "hello", /ended with code 139; on standard error it said: Segmentation fault/],
  ["claude-silent", claude("silent", { initTimeout: "1 second" }), "hello", /was not ready within 1s/]
]

const models = (url: string): ReadonlyArray<Wrong> => {
  const model = (more: object = {}) => ({ kind: "model", url, model: "stand-in", retries: 0, ...more })
  return [
    ["model-missing", model({ url: "http://127.0.0.1:9" }), "hello", /no connection to 127\.0\.0\.1:9/],
    ["model-garbage", model(), "garbage", /answered with a web page; check the address/],
    ["model-refuses", model(), "fail 401", /does not accept the key \(401\)/],
    ["model-breaks", model(), "break", /connection broke before the answer was whole/],
    ["model-silent", model({ stallTimeout: "1 second" }), "silent", /the server said nothing/]
  ]
}

/** Agents that hang for as long as the test runs, and those that are good. */
const hanging = {
  "command-hangs": command(forever),
  "acp-hangs": acp("--mute"),
  "claude-hangs": claude("silent")
}
const good = { command: command('console.log("fine")'), acp: acp("--load"), claude: claude("plain") }

const sentence = (says: string) =>
  new RegExp(
    `^"${says}" failed 2 times, so I've set it aside\\. Everything else works; /retry tries again\\. \\((\\w{4})\\)$`
  )

describe("agents that do something wrong", () => {
  it.live(
    "Q17, Q18, D20: each has its sentence in its chat and its cause in the log, and other sessions are answered meanwhile",
    () =>
      Effect.gen(function* () {
        const server = yield* standIn({
          answer: ({ text }) =>
            text === "garbage" ? { _tag: "Raw", type: "text/html", chunks: ["<html>Welcome!</html>"] } : undefined
        })
        const wrong = [...programs, ...models(server.url)]
        const agents = { demo: { kind: "demo" }, ...hanging, ...good, ...Object.fromEntries(wrong) }
        const gateway = yield* start({
          configuration: JSON.stringify({
            agents,
            personas: {
              default: { agent: "demo" },
              ...Object.fromEntries(Object.keys(agents).map((name) => [name, { agent: name }]))
            },
            turns: { backoff: ["10 millis"] },
            drain: { timeout: "3 seconds", startWithin: "0 millis" }
          })
        })
        const begin = Effect.fnUntraced(function* (name: string, text: string) {
          const talking = talk(() => gateway, name)
          yield* talking.say(`/new w ${name}`)
          yield* talking.hears(/^A fresh start/)
          yield* talking.say(text)
          return talking
        })
        const hangs = Object.keys(hanging)
        yield* each(hangs, (name) => begin(name, "hello"))
        yield* each(hangs, (name) => showing(gateway, name, /"turn":\{/))
        const told = Effect.fnUntraced(function* ([name, , says, cause]: Wrong) {
          const [said = ""] = yield* (yield* begin(name, says)).hears(/./)
          const [, reference] = sentence(says).exec(said) ?? assert.fail(`it says: ${said}`)
          const { annotations } = yield* gateway.event(
            `why ${name} is set aside`,
            ({ annotations }) => annotations?.["reference"] === reference && annotations?.["attempt"] === 2
          )
          assert.match(String(annotations?.["error"]), cause)
          assert.strictEqual(annotations?.["agent"], name)
        })
        const meanwhile = Effect.gen(function* () {
          yield* each(Object.keys(good), (name) =>
            Effect.flatMap(begin(name, "fine"), (talking) => talking.hears(/^fine$/))
          )
          // Those that hang still do: nobody waited for them.
          yield* each(hangs, (name) => showing(gateway, name, /"turn":\{/))
        })
        yield* Effect.all(
          [
            each(
              wrong.map(([name]) => name),
              (name) =>
                Effect.forEach(
                  wrong.filter(([one]) => one === name),
                  told
                )
            ),
            meanwhile
          ],
          {
            concurrency: "unbounded"
          }
        )
        yield* gateway.signal("SIGTERM")
        assert.strictEqual((yield* gateway.exited).code, 80)
        assert.deepStrictEqual(descendants(gateway.pid), [])
      }).pipe(Effect.scoped)
  )
})
