// The packages as they leave the house: compiled by `npm run dist`, with the exports of `publishConfig`, installed under
// a node_modules where Node strips no types. In the workspace they run from src/, so that a missing file extension, a
// source file in the list or a worker that is not there would be noticed by the first user only.
import { spawnSync } from "node:child_process"
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { afterAll, beforeAll, describe, expect, it } from "vitest"

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))
const packages = ["runtime", "channels", "agents", "pools"]
const folder = mkdtempSync(join(tmpdir(), "sluice-published-"))

const run = (command: string, args: ReadonlyArray<string>, cwd: string) => {
  const { status, stderr, stdout } = spawnSync(command, args, { cwd, encoding: "utf8" })
  return { code: status, output: `${stdout}${stderr}` }
}

/** What a user can import: the modules at the top of src/, and the testing room. */
const specifiers = packages.flatMap((name) => {
  const source = join(root, "packages", name, "src")
  const modules = readdirSync(source).filter((file) => file.endsWith(".ts"))
  const own = modules.map((file) => `@sluice/${name}/${file.slice(0, -".ts".length)}`)
  return name === "runtime" ? [...own, "@sluice/runtime/testing"] : own
})

const install = (name: string): void => {
  const source = join(root, "packages", name)
  const target = join(folder, "node_modules/@sluice", name)
  const { publishConfig, ...json } = JSON.parse(readFileSync(join(source, "package.json"), "utf8"))
  mkdirSync(target, { recursive: true })
  cpSync(join(source, "dist"), join(target, "dist"), { recursive: true })
  writeFileSync(join(target, "package.json"), JSON.stringify({ ...json, exports: publishConfig.exports }))
}

/** Our own packages are installed, what they need is that of the workspace. */
const link = (name: string, from = "."): void => {
  mkdirSync(dirname(join(folder, "node_modules", name)), { recursive: true })
  symlinkSync(join(root, from, "node_modules", name), join(folder, "node_modules", name))
}

beforeAll(() => {
  for (const name of packages) rmSync(join(root, "packages", name, "dist"), { recursive: true, force: true })
  const built = run(
    join(root, "node_modules/.bin/tsc"),
    ["-b", ...packages.map((name) => `packages/${name}/tsconfig.dist.json`)],
    root
  )
  if (built.code !== 0) throw new Error(`the packages don't compile:\n${built.output}`)
  for (const name of packages) install(name)
  link("effect")
  link("@types/node")
  // The testing room's store; the pipeline itself takes any SqlClient.
  link("@effect/sql-sqlite-node", "packages/runtime")
  link("@agentclientprotocol/sdk", "packages/agents")
  link("marked", "packages/channels")
  writeFileSync(join(folder, "package.json"), `{"type":"module"}`)
}, 60_000)

afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe("the published packages", () => {
  it("load as plain JavaScript", () => {
    const code = `for (const name of ${JSON.stringify(specifiers)}) await import(name)`
    expect(run(process.execPath, ["--no-strip-types", "--input-type=module", "-e", code], folder)).toEqual({
      code: 0,
      output: ""
    })
  })

  it("bring their types", () => {
    const lines = specifiers.map((name, index) => `export * as M${index} from "${name}"\n`)
    writeFileSync(join(folder, "user.ts"), lines.join(""))
    const options = { module: "nodenext", target: "es2024", strict: true, noEmit: true, types: ["node"] }
    writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions: options, files: ["user.ts"] }))
    expect(run(join(root, "node_modules/.bin/tsc"), ["-p", "."], folder)).toEqual({ code: 0, output: "" })
  })

  it("keep their internal rooms closed", () => {
    const code = `await import("@sluice/runtime/internal/Deadlines")`
    const { code: exit, output } = run(process.execPath, ["--input-type=module", "-e", code], folder)
    expect(exit).toBe(1)
    expect(output).toContain("ERR_PACKAGE_PATH_NOT_EXPORTED")
  })
})
