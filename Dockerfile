FROM node:24-bookworm-slim AS packages
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --omit=dev --omit=optional --ignore-scripts --no-audit --no-fund

FROM node:24-bookworm-slim
WORKDIR /app
ENV NODE_ENV=production
COPY --from=packages /app/node_modules ./node_modules
COPY package.json LICENSE ./
COPY gen ./gen
COPY sql/migrations ./sql/migrations
COPY sql/functions ./sql/functions
COPY scripts/migrate.ts ./scripts/migrate.ts
COPY src ./src
USER node
# gRPC, Connect and gRPC-Web, metrics and probes
EXPOSE 9092 8092 9464
CMD ["node", "src/main.ts"]
