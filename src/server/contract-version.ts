/** Version of the API contract. `make check` compares it with package.json and CHANGELOG.md. */
export const CONTRACT_VERSION = '0.1.0';
