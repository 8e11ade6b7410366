// An account service: plain ASP.NET. dotnet run
// Not run by this project's tests (no .NET on its machines).
using System.Collections.Concurrent;

var app = WebApplication.CreateBuilder(args).Build();

// Accounts by issuer and subject. A real service has a database.
var accounts = new ConcurrentDictionary<(string Issuer, string Subject), Account>();

// Who calls, as the gateway says; null for a client that has not logged in.
static (string Issuer, string Subject)? Caller(HttpRequest request)
{
    string? issuer = request.Headers["bannou-issuer"], subject = request.Headers["bannou-subject"];
    return issuer is null || subject is null ? null : (Uri.UnescapeDataString(issuer), Uri.UnescapeDataString(subject));
}

app.MapPost("/v1/accounts", (Create body, HttpRequest request) =>
{
    if (string.IsNullOrWhiteSpace(body.Name)) return Results.BadRequest(new { error = "send {\"name\":\"…\"}" });
    var caller = Caller(request);
    var account = new Account(Guid.NewGuid().ToString(), body.Name, caller?.Subject);
    if (caller is { } who) accounts[who] = account;
    return Results.Created("/v1/accounts/me", account);
});

app.MapGet("/v1/accounts/me", (HttpRequest request) =>
    Caller(request) is { } who && accounts.TryGetValue(who, out var account)
        ? Results.Ok(account)
        : Results.NotFound(new { error = "no account yet: call account.create after logging in" }));

app.Run($"http://127.0.0.1:{Environment.GetEnvironmentVariable("PORT") ?? "7001"}");

record Create(string? Name);
record Account(string Id, string Name, string? Subject);
