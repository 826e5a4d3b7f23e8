// An example that runs: a gateway of three agents, and a message that one of them answers, a model whose server the test
// starts.
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import { assert, it } from "@effect/vitest"
import { Gateway } from "@sluice/runtime/Gateway"
import { Journal } from "@sluice/runtime/Journal"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as ClaudeCode from "../../src/ClaudeCode.ts"
import * as Command from "../../src/Command.ts"
import * as Model from "../../src/Model.ts"
import { standIn } from "../standIn/openai.ts"

/** A gateway of three agents, with a persona for each; `/new <name> <persona>` begins a session with one of them. */
const helpers = (url: string, filename: string) =>
  Gateway.layer({
    agents: {
      local: Model.make({ api: "openai", url, model: "llama3.2" }),
      coder: ClaudeCode.make({ cwd: "/srv/project" }),
      clock: Command.make({ argv: ["date"] })
    },
    personas: { default: { agent: "local" }, coder: { agent: "coder" }, clock: { agent: "clock" } },
    debounce: { quiet: 0 }
  }).pipe(Layer.provide([Journal.layer(SqliteClient.layer({ filename })), NodeHttpClient.layerNodeHttp]))

it.live("the default persona's agent answers until somebody begins a session with another one", () =>
  Effect.gen(function* () {
    const server = yield* standIn()
    const answers = Effect.gen(function* () {
      const gateway = yield* Gateway
      yield* gateway.accept({ conversation: "kim", sender: "kim", text: "hello" })
      const first = yield* Stream.runHead(gateway.replies("kim"))
      assert.strictEqual(Option.getOrThrow(first).text, "hello")
      yield* gateway.accept({ conversation: "kim", sender: "kim", text: "/new time clock" })
      yield* Stream.runHead(gateway.replies("kim", 1))
      yield* gateway.accept({ conversation: "kim", sender: "kim", text: "what time is it?" })
      const third = yield* Stream.runHead(gateway.replies("kim", 2))
      assert.match(Option.getOrThrow(third).text, /\d\d:\d\d:\d\d/)
    })
    yield* Effect.provide(answers, helpers(server.url, ":memory:"))
  })
)
