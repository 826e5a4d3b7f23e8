// The manifest of docs/slack.md calls the address that the gateway answers, asks for what the channel needs and nothing
// else, and subscribes to nothing that it would not understand. Whoever has no app does not pay for one.
import { assert, describe, it } from "@effect/vitest"
import { readdirSync, readFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { parse } from "yaml"
import { needed } from "../../../packages/channels/src/internal/slack/reach.ts"
import { hookPaths } from "../src/Pipeline.ts"
import { program } from "./harness.ts"

const page = readFileSync(new URL("../../../docs/slack.md", import.meta.url), "utf8")
const [, block = ""] = /^```yaml\n(display_information:[^]+?)^```/m.exec(page) ?? []

interface Manifest {
  readonly display_information: { readonly name: string }
  readonly features: { readonly bot_user: { readonly display_name: string }; readonly app_home: object }
  readonly oauth_config: { readonly scopes: { readonly bot: ReadonlyArray<string> } }
  readonly settings: {
    readonly event_subscriptions: { readonly request_url: string; readonly bot_events: ReadonlyArray<string> }
    readonly interactivity: { readonly is_enabled: boolean; readonly request_url: string }
    readonly socket_mode_enabled: boolean
  }
}

/** The right that each subscription needs, as Slack's reference of events has it. */
const rights: { readonly [event: string]: string } = {
  app_mention: "app_mentions:read",
  "message.channels": "channels:history",
  "message.groups": "groups:history",
  "message.im": "im:history",
  "message.mpim": "mpim:history"
}

describe("the manifest of a Slack app", () => {
  it("W6: calls the address that the gateway answers, with the rights that the channel needs and no others", () => {
    const { features, oauth_config, settings } = parse(block) as Manifest
    const { event_subscriptions, interactivity, socket_mode_enabled } = settings
    for (const { request_url } of [event_subscriptions, interactivity]) {
      assert.isTrue(hookPaths.some((path) => path === new URL(request_url).pathname))
      assert.strictEqual(new URL(request_url).protocol, "https:")
    }
    assert.isTrue(interactivity.is_enabled)
    assert.isFalse(socket_mode_enabled)
    assert.isAtMost(features.bot_user.display_name.length, 80)
    const scopes = oauth_config.scopes.bot
    const wanted = event_subscriptions.bot_events.map((event) => rights[event])
    assert.sameMembers([...scopes], [...new Set([...needed, "reactions:write", ...wanted])])
  })
})

describe("the program's own chunk", () => {
  it("has nothing of Slack: whoever has no app does not load it", () => {
    const folder = dirname(program)
    const chunks = readdirSync(folder).filter((name) => name.endsWith(".cjs"))
    const holding = (text: string) => chunks.filter((name) => readFileSync(join(folder, name), "utf8").includes(text))
    const own = holding("@sluice/gateway/Loaded")
    const theirs = ["x-slack-signature", "files.getUploadURLExternal", "chat.update"].flatMap(holding)
    assert.isAbove(own.length, 0)
    assert.isAbove(theirs.length, 0)
    assert.deepStrictEqual(
      own.filter((name) => theirs.includes(name)),
      []
    )
  })
})
