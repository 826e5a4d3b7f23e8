/**
 * Against what nobody here wrote: the official client sends the stand-in what this
 * channel sends, to the last parameter, and the official types are what is read.
 *
 * Scenarios: W6
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { assert, describe, it } from "@effect/vitest"
import type {
  AppMentionEvent,
  FileShareMessageEvent,
  GenericMessageEvent,
  MessageChangedEvent,
  MessageDeletedEvent
} from "@slack/types"
import { type ChatPostMessageArguments, type ChatUpdateArguments, LogLevel, WebClient } from "@slack/web-api"
import type { Reply } from "@sluice/runtime/Message"
import type { Edit } from "@sluice/runtime/Channel"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { meaningOf } from "../../src/internal/slack/events.ts"
import { make } from "../../src/internal/slack/webApi.ts"
import { Event } from "../../src/internal/slack/wire.ts"
import * as Slack from "../../src/Slack.ts"
import { temporaryAttachments } from "../serve.ts"
import { type StandIn, standIn } from "../standIn/slack.ts"
import { dm, kim, optionsOf } from "./world.ts"

const official = (server: StandIn, token = server.token) =>
  new WebClient(token, {
    slackApiUrl: `${server.url}/`,
    logLevel: LogLevel.ERROR,
    retryConfig: { retries: 0 },
    rejectRateLimitedCalls: true
  })

/** Under another name: a window has one that wants something else. */
const posting = ({ chat }: WebClient) => chat.postMessage

const conversation = { channel: "slack", account: "", peer: dm, thread: "1700000000.000009" }

const reply = (text: string, kind: Reply["kind"] = "answer"): Reply => ({
  id: "r1",
  conversation,
  number: 1,
  kind,
  text,
  inReplyTo: [],
  createdAt: 0
})

/** The last request of a method. */
const last = (server: StandIn, method: string) => server.calls.findLast((call) => call.method === method)?.params

const needs = Layer.merge(NodeHttpClient.layerNodeHttp, temporaryAttachments)

describe("the official client", () => {
  it.live("W6: posts and updates messages with the same parameters", () =>
    Effect.gen(function* () {
      const server = yield* standIn()
      const client = official(server)
      const delivery = Slack.make(optionsOf(server)).delivery as Edit<Slack.Needs>
      const message: ChatPostMessageArguments = {
        channel: dm,
        thread_ts: conversation.thread,
        text: "…",
        parse: "none",
        unfurl_links: false,
        unfurl_media: false
      }
      const posted = yield* Effect.promise(() => posting(client)(message))
      const theirs = last(server, "chat.postMessage")
      const { remoteId } = yield* delivery.place(conversation, "…")
      assert.deepStrictEqual(last(server, "chat.postMessage"), theirs)
      const [ts = ""] = remoteId.split("/")
      const updates: ReadonlyArray<readonly [ChatUpdateArguments, Reply]> = [
        [{ channel: dm, ts, text: "a *bold* word", parse: "none", blocks: [] }, reply("a **bold** word")],
        [
          {
            channel: dm,
            ts,
            text: "Gone.",
            parse: "none",
            blocks: [
              { type: "section", text: { type: "mrkdwn", text: "Gone.", verbatim: true } },
              {
                type: "actions",
                elements: [
                  {
                    type: "button",
                    action_id: "say-0",
                    text: { type: "plain_text", text: "Try again", emoji: false },
                    value: "/retry"
                  }
                ]
              }
            ]
          },
          reply("Gone.\n[Try again: /retry]", "notice")
        ]
      ]
      for (const [theirs, ours] of updates) {
        yield* Effect.promise(() => client.chat.update(theirs))
        const sent = last(server, "chat.update")
        yield* delivery.edit(remoteId, ours)
        assert.deepStrictEqual(last(server, "chat.update"), sent)
      }
      assert.isString(posted.ts)
      assert.strictEqual(server.texts(dm).length, 2)
    }).pipe(Effect.provide(needs), Effect.scoped)
  )

  it.live("W6: asks who it is, reacts and brings files with the same parameters", () =>
    Effect.gen(function* () {
      const server = yield* standIn()
      const client = official(server)
      const ours = make({ token: Redacted.make(server.token), apiRoot: server.url })
      const eyes = { channel: dm, timestamp: "1700000000.000001", name: "eyes" }
      const file = { filename: "a b.md", length: 5 }
      const both = Effect.fnUntraced(function* (method: string, params: object) {
        yield* Effect.promise(() => client.apiCall(method, { ...params }))
        const theirs = last(server, method)
        yield* Effect.ignore(ours.call(method, { ...params }, Schema.Unknown))
        assert.deepStrictEqual(last(server, method), theirs, method)
      })
      yield* both("auth.test", {})
      yield* both("reactions.add", eyes)
      yield* both("reactions.remove", eyes)
      yield* both("files.getUploadURLExternal", file)
      yield* both("files.completeUploadExternal", {
        files: [{ id: "F1", title: "a b.md" }],
        channel_id: dm,
        initial_comment: "x"
      })
      const uploaded = yield* Effect.promise(() =>
        client.filesUploadV2({
          channel_id: dm,
          filename: "whole.txt",
          file: Buffer.from("all of it"),
          initial_comment: "here"
        })
      )
      assert.isTrue(uploaded.ok)
      assert.deepStrictEqual(server.shown(dm).at(-1)?.files, [{ name: "whole.txt", text: "all of it" }])
    }).pipe(Effect.provide(needs), Effect.scoped)
  )

  it.live("W6: is refused as Slack refuses", () =>
    Effect.gen(function* () {
      const server = yield* standIn()
      const refused = (client: WebClient, params: ChatPostMessageArguments) =>
        Effect.promise(() =>
          posting(client)(params).then(
            () => "sent",
            (error: {
              readonly code: string
              readonly data?: { readonly error: string }
              readonly retryAfter?: number
            }) => [error.code, error.data?.error ?? error.retryAfter].join(" ")
          )
        )
      const [client, stranger] = [official(server), official(server, "xoxb-nobody")]
      assert.strictEqual(
        yield* refused(stranger, { channel: dm, text: "x" }),
        "slack_webapi_platform_error invalid_auth"
      )
      assert.strictEqual(
        yield* refused(client, { channel: "nowhere", text: "x" }),
        "slack_webapi_platform_error channel_not_found"
      )
      assert.strictEqual(
        yield* refused(client, { channel: dm, text: "x".repeat(4001) }),
        "slack_webapi_platform_error msg_too_long"
      )
      server.script("chat.postMessage", { refuse: "ratelimited", retryAfter: 7 })
      assert.strictEqual(yield* refused(client, { channel: dm, text: "x" }), "slack_webapi_rate_limited_error 7")
    }).pipe(Effect.provide(needs), Effect.scoped)
  )
})

describe("the official types", () => {
  const message: GenericMessageEvent = {
    type: "message",
    subtype: undefined,
    channel: dm,
    channel_type: "im",
    user: kim,
    text: "hello",
    ts: "1700000000.000001",
    event_ts: "1700000000.000001",
    client_msg_id: "c7b5",
    team: "T1",
    blocks: [{ type: "rich_text", elements: [] }]
  }
  const room = { ...message, channel: "CROOM", channel_type: "channel" as const, text: "<@UBOT> hello" }
  const mention: AppMentionEvent = {
    type: "app_mention",
    user: kim,
    text: "<@UBOT> hello",
    channel: "CROOM",
    ts: message.ts,
    event_ts: message.ts
  }
  const shared: FileShareMessageEvent = { ...message, subtype: "file_share", text: "look", files: [] }
  const changed: MessageChangedEvent = {
    type: "message",
    subtype: "message_changed",
    hidden: true,
    channel: dm,
    channel_type: "im",
    ts: "1700000000.000005",
    event_ts: "1700000000.000005",
    message: { ...message, text: "hello there", edited: { user: kim, ts: "1700000000.000005" } },
    previous_message: message
  }
  const deleted: MessageDeletedEvent = {
    type: "message",
    subtype: "message_deleted",
    hidden: true,
    channel: dm,
    channel_type: "im",
    ts: "1700000000.000006",
    event_ts: "1700000000.000006",
    deleted_ts: message.ts,
    previous_message: message
  }

  for (const [what, event, tag, id] of [
    ["a message", message, "Said", message.ts],
    ["a message that names the bot", room, "Said", message.ts],
    ["a mention", mention, "Said", message.ts],
    ["a message with files", shared, "Said", message.ts],
    ["an edit", changed, "Said", `${message.ts}/e1700000000.000005`],
    ["a deletion", deleted, "Deleted", `${message.ts}/deleted`]
  ] as const) {
    it(`W6: ${what} is read`, () => {
      const read = Schema.decodeUnknownSync(Event)(JSON.parse(JSON.stringify(event)))
      const meaning = meaningOf(read, { user: "UBOT" }, (one) => one === kim)
      assert.strictEqual(meaning._tag, tag)
      assert.strictEqual("inbound" in meaning ? meaning.inbound.id : undefined, id)
    })
  }
})
