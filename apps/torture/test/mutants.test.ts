// The mutants are worth something only while they can be put in: each patch fits the tree as it is, says what must see
// it, and a copy of the tree is complete and apart, so that what is broken there is broken nowhere else.
import { assert, describe, it } from "@effect/vitest"
import { spawnSync } from "node:child_process"
import { existsSync, lstatSync, readdirSync, realpathSync } from "node:fs"
import { dirname, join } from "node:path"
import { pathToFileURL } from "node:url"
import { onTestFinished, type TestContext } from "vitest"
import { copyOf, remove } from "../src/mutants/copy.ts"
import { apply, describe as headOf, mutants, repository } from "../src/mutants/patches.ts"

const copy = () => {
  const folder = copyOf(repository)
  onTestFinished(() => remove(folder))
  return folder
}

const hasGit = spawnSync("git", ["--version"]).status === 0

/** Said once for each test that applies patches where nothing can. */
const needsGit = (context: TestContext) => {
  if (!hasGit) context.skip("there is no git here to apply patches with")
}

describe("mutants", () => {
  it("there are at least twelve, and every invariant of the checker but those of its own inputs has one", () => {
    assert.isAtLeast(mutants().length, 12)
    const seen = new Set(mutants().flatMap(({ invariants }) => invariants))
    assert.deepStrictEqual(
      ["I1", "I3", "I4", "I5", "I6", "I7", "I8", "I9", "I10"].filter((one) => !seen.has(one)),
      []
    )
  })

  it("every patch applies to the tree, and says what it breaks, which invariant sees it and at which levels", (context) => {
    needsGit(context)
    for (const mutant of mutants()) {
      assert.strictEqual(apply(mutant, repository, "try"), undefined)
      assert.isAtLeast(mutant.invariants.length, 1, mutant.name)
      for (const invariant of mutant.invariants) assert.match(invariant, /^I([1-9]|10)$/, mutant.name)
      assert.isAtLeast(mutant.breaks.length, 40, mutant.name)
      assert.match(mutant.breaks, /^[A-Z].*\.$/, mutant.name)
      assert.isAtLeast(mutant.levels.length, 1, mutant.name)
      for (const level of mutant.levels) assert.match(level, /^L[0-4]$/, mutant.name)
    }
  })

  it("a patch without its head or that fits nowhere is refused with what to do", (context) => {
    needsGit(context)
    assert.throws(() => headOf("x.patch", "It breaks.\n\nlevels: L1\n\ndiff --git a/x b/x\n"), /add a line "invariants/)
    assert.throws(
      () => headOf("x.patch", "invariants: I1\nlevels: L1\n\ndiff --git a/x b/x\n"),
      /begin it with a sentence/
    )
    const [mutant] = mutants()
    assert.isDefined(mutant)
    if (mutant === undefined) return
    const folder = copy()
    assert.isUndefined(apply(mutant, folder, "write"))
    assert.match(apply(mutant, folder, "try") ?? "", new RegExp(`${mutant.name} does not apply any more:[^]*git diff`))
    // The tree that was copied is as it was.
    assert.isUndefined(apply(mutant, repository, "try"))
  })

  it("a copy's packages find the copy's, and what is installed is shared", () => {
    const folder = copy()
    const within = realpathSync(folder)
    for (const room of ["packages", "apps"].flatMap((kind) =>
      readdirSync(join(folder, kind)).map((name) => join(folder, kind, name))
    )) {
      const own = join(room, "node_modules/@sluice")
      for (const name of existsSync(own) ? readdirSync(own) : []) {
        assert.strictEqual(dirname(dirname(realpathSync(join(own, name)))), within)
      }
    }
    assert.isTrue(lstatSync(join(folder, "node_modules")).isSymbolicLink())
    assert.isFalse(existsSync(join(folder, ".git")))
    const loaded = spawnSync(
      process.execPath,
      [
        "-e",
        `import("@sluice/runtime/Gateway").then(({ Gateway }) => console.log(import.meta.resolve("@sluice/runtime/Gateway"), typeof Gateway.layer))`
      ],
      { cwd: join(folder, "apps/torture"), encoding: "utf8" }
    )
    const file = pathToFileURL(join(within, "packages/runtime/src/Gateway.ts"))
    assert.strictEqual(loaded.stdout.trim(), `${file.href} function`, loaded.stderr)
  })
})
