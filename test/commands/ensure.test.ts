// The step before `npm start` and `npm test`, run in a folder of its own with an npx that only writes down how it was
// called: it installs when something that an installation follows from has changed, and otherwise does nothing.
import { spawnSync } from "node:child_process"
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { delimiter, join } from "node:path"
import { afterEach, beforeEach, describe, expect, it } from "vitest"

let folder = ""
const file = (path: string): string => join(folder, path)
const put = (path: string, text: string, mode = 0o644): void => writeFileSync(file(path), text, { mode })

const ensure = (): { readonly code: number | null; readonly errors: string; readonly installs: number } => {
  const { status, stderr } = spawnSync(process.execPath, [file("scripts/ensure.mjs")], {
    env: { ...process.env, PATH: `${file("bin")}${delimiter}${process.env["PATH"] ?? ""}` },
    encoding: "utf8"
  })
  return { code: status, errors: stderr, installs: readFileSync(file("calls"), "utf8").split("\n").length - 1 }
}

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "sluice-ensure-"))
  for (const name of ["scripts", "bin", "node_modules", "packages/one", "apps", "patches"]) {
    mkdirSync(file(name), { recursive: true })
  }
  copyFileSync(new URL("../../scripts/ensure.mjs", import.meta.url), file("scripts/ensure.mjs"))
  put("calls", "")
  put("bin/npx", `#!/bin/sh\necho "$@" >> "${file("calls")}"\n`, 0o755)
  put("package.json", `{"type":"module"}`)
  put("pnpm-lock.yaml", "lock")
  put("packages/one/package.json", "{}")
  put("patches/a.patch", "a")
})

afterEach(() => rmSync(folder, { recursive: true, force: true }))

describe("before start and test", () => {
  it("installs on a fresh clone, from the lock file, and says nothing the next time", () => {
    expect(ensure()).toMatchObject({ code: 0, installs: 1 })
    expect(readFileSync(file("calls"), "utf8")).toMatch(/^--yes --prefer-offline pnpm@\S+ install --frozen-lockfile/)
    expect(ensure()).toEqual({ code: 0, errors: "", installs: 1 })
  })

  it.each(["package.json", "pnpm-lock.yaml", "packages/one/package.json", "patches/a.patch", "patches/b.patch"])(
    "installs again when %s has changed",
    (path) => {
      expect(ensure()).toMatchObject({ code: 0, installs: 1 })
      put(path, "changed")
      expect(ensure()).toMatchObject({ code: 0, installs: 2 })
      expect(ensure()).toMatchObject({ code: 0, installs: 2 })
    }
  )

  it("ends with one clear line when the installation fails, and tries again the next time", () => {
    put("bin/npx", `#!/bin/sh\necho "$@" >> "${file("calls")}"\nexit 7\n`, 0o755)
    const first = ensure()
    expect(first).toMatchObject({ code: 1, installs: 1 })
    expect(first.errors.trim().split("\n").at(-1)).toContain("could not be installed (code 7, see above)")
    expect(ensure()).toMatchObject({ code: 1, installs: 2 })
  })
})
