// A gateway that was started from inside an agent's turn: the marker of that turn is in its environment, and whoever it
// starts in its turn must not be taken for a child of that agent.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { existsSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { start, temporaryFolder, until } from "../harness.ts"

describe("a gateway that an agent started", () => {
  it.live("does not hand that agent's marker on to its own helpers", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const seen = join(folder, "seen")
      // What the gateway starts to tell its service manager that it is ready.
      writeFileSync(
        join(folder, "systemd-notify"),
        `#!/bin/sh\nprintf 'marker=%s' "\${SLUICE_MARKER-none}" > '${seen}.new' && mv '${seen}.new' '${seen}'\n`,
        { mode: 0o755 }
      )
      yield* start({
        environment: {
          PATH: `${folder}:${process.env["PATH"] ?? ""}`,
          NOTIFY_SOCKET: join(folder, "socket"),
          SLUICE_MARKER: "another-gateway/7/12/3"
        }
      })
      yield* until(
        "a helper has run",
        Effect.sync(() => existsSync(seen)),
        (found) => found
      )
      assert.strictEqual(readFileSync(seen, "utf8"), "marker=none")
    }).pipe(Effect.scoped)
  )
})
