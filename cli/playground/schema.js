// The little of JSON Schema that a form needs: pure functions.

/**
 * The name of the one thing to say yes or no to, when that is all that an answer holds.
 *
 * @param {any} schema
 * @returns {string | undefined}
 */
export function onlyBoolean(schema) {
  const properties = Object.entries(schema?.properties ?? {});
  return properties.length === 1 && properties[0][1]?.type === "boolean" ? properties[0][0] : undefined;
}

/**
 * Something of that shape, to begin with.
 *
 * @param {any} schema
 * @returns {any}  undefined when nothing is known
 */
export function exampleOf(schema, depth = 0) {
  if (schema === null || typeof schema !== "object" || depth > 6) return undefined;
  if (schema.examples?.length > 0) return schema.examples[0];
  if ("default" in schema) return schema.default;
  if (schema.enum?.length > 0) return schema.enum[0];
  switch (schema.type) {
    case "object":
      return Object.fromEntries(Object.entries(schema.properties ?? {}).map(([name, inner]) => [name, exampleOf(inner, depth + 1) ?? null]));
    case "array":
      return schema.items ? [exampleOf(schema.items, depth + 1) ?? null] : [];
    case "string":
      return "";
    case "integer":
    case "number":
      return 0;
    case "boolean":
      return true;
    default:
      return undefined;
  }
}
