// An example that runs: a gateway with a bot on Telegram, and somebody who writes to it; in Telegram's place stands a
// server that the test starts.
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as NodePath from "@effect/platform-node/NodePath"
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import { assert, it } from "@effect/vitest"
import * as Agent from "@sluice/runtime/Agent"
import { Attachments } from "@sluice/runtime/Attachments"
import { Gateway } from "@sluice/runtime/Gateway"
import { Journal } from "@sluice/runtime/Journal"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Telegram from "../../src/Telegram.ts"
import { files } from "../serve.ts"
import { kim, standIn } from "../telegram/world.ts"

/** A bot that answers with an agent, and keeps what it needs in a folder. */
const bot = (options: Telegram.Options, parrot: Agent.Agent, folder: string) =>
  Gateway.layer({ agents: { parrot }, channels: { telegram: Telegram.make(options) }, debounce: { quiet: 0 } }).pipe(
    Layer.provide([
      Journal.layer(SqliteClient.layer({ filename: `${folder}/journal.db` })),
      Attachments.layer({ folder: `${folder}/attachments` }),
      NodeHttpClient.layerNodeHttp
    ]),
    Layer.provide([NodeFileSystem.layer, NodePath.layer])
  )

it.live("the bot answers who may speak with it", () =>
  Effect.gen(function* () {
    const server = yield* standIn()
    const folder = yield* (yield* FileSystem.FileSystem).makeTempDirectoryScoped({ prefix: "sluice-bot-" })
    const parrot = Agent.fromFunction((turn) => Effect.succeed(`You said: ${turn.text}`))
    const options = { token: Redacted.make(server.token), apiRoot: server.url, allow: [kim] }
    yield* Effect.gen(function* () {
      server.say(kim, "hello")
      yield* server.until(() => server.texts(kim).includes("You said: hello"))
    }).pipe(Effect.provide(bot(options, parrot, folder)))
    assert.deepStrictEqual(server.texts(kim), ["You said: hello"])
  }).pipe(Effect.provide(files))
)
