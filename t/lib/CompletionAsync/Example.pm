package CompletionAsync::Example;

=encoding utf8

=head1 NAME

CompletionAsync::Example - complete configurations for users, made fit for a test

=head1 SYNOPSIS

    my $conf = CompletionAsync::Example::slurp("$root/conf-examples/minimal.conf");
    $t->run(CompletionAsync::Example::render($t, $conf));
    CompletionAsync::Example::main_job($t, '/translate');

=head1 DESCRIPTION

C<render($t, $conf, %arg)> returns a template for L<CompletionAsync::Test>: the module, user, logs,
pid and temporary files are those of the test, the servers listen on %%PORT%%, %%PORT_1%%, ... in
the order of the C<listen> directives, the provider is the emulator, and files in F</etc/nginx> that
the configuration names are made in the test's directory. It dies where the configuration lacks
what a complete one has. C<files> gives contents by name, C<replace> other strings to be replaced,
C<http> what is added to the http block.

C<main_job($t, $path, %arg)> submits Hamlet's line, polls until it is translated, looks at the text
and at what upstream was asked. C<headers> go with each request, C<port> is that of the server.
It returns the operation's Location.

C<page($t, $name)> copies the page that translates into that folder of the test's directory: the
workers may be users who may not look into this checkout.

=cut

use strict;
use warnings;
use v5.36;
use utf8;

use Cwd qw(abs_path);
use File::Basename qw(basename dirname);
use Test::More;

my $PAGE       = abs_path(dirname(__FILE__) . '/../../../conf-examples/translate');
my $TEXT       = 'To be, or not to be: that is the question.';
my $TRANSLATED = 'Быть или не быть: вот в чём вопрос.';


sub slurp ($path) {
    open my $file, '<:encoding(UTF-8)', $path or die "$path: $!\n";
    local $/;
    return <$file>;
}


sub render ($t, $conf, %arg) {
    $conf =~ s/^\s*#.*$//mg;
    $conf =~ s/^load_module\s+\S*ngx_http_completion_async_module\.so;$//m
        or die "no load_module\n";
    $conf =~ s/^(?:user|pid|error_log|daemon|worker_processes)\s[^;]*;$//mg;
    $conf =~ s/^\s+(?:access_log|\w+_temp_path)\s[^;]*;$//mg;

    my $more = $arg{http} // '';
    $conf =~ s/^http \{$/http {\n%%TEST_GLOBALS_HTTP%%\n$more/m or die "no http block\n";

    my %replace = %{ $arg{replace} // {} };
    for my $string (sort keys %replace) {
        $conf =~ s/\Q$string\E/$replace{$string}/g or die "no \"$string\"\n";
    }

    my $metadata = $t->expand('%%PROVIDER%%')
        =~ s{api_key \S+;}{metadata_token %%UPSTREAM%%/computeMetadata/v1/instance/service-accounts/default/token;}r;
    $conf =~ s/^\s+folder\s+\S+;$//mg or die "no folder\n";
    $conf =~ s/^\s+(?:submit|operations)_url\s+\S+;$//mg;
    $conf =~ s{^(\s+)(?:api_key\s+file:\S+|(metadata_token));$}
        {$1 . ($2 ? $metadata : '%%PROVIDER%%')}mge
        or die "no credential\n";

    my $n = 0;
    my $port = sub { my $i = $n++; $i ? "%%PORT_$i%%" : '%%PORT%%' };
    $conf =~ s/^(\s+listen\s+)(?:\S+:)?[0-9]+;/$1 . '127.0.0.1:' . $port->() . ';'/mge
        or die "no listen\n";

    $conf =~ s{(file:)?/etc/nginx/(\S+?)(?=[;\s])}
        {($1 // '') . _file($t, $2, $1, $arg{files})}ge;
    return "%%TEST_GLOBALS%%\n$conf";
}


# Long enough for a key, and a line that a file of users may have.
sub _file ($t, $name, $secret, $files) {
    my $content = $files->{$name} // 'user:' . '0123456789abcdef' x 4 . "\n";
    return $t->write_file($name, $content, $secret ? 0600 : 0644);
}


sub page ($t, $name) {
    mkdir $t->testdir . "/$name", 0755 or die "$name: $!\n";
    $t->write_file("$name/" . basename($_), slurp($_), 0644) for glob "$PAGE/*";
}


sub main_job ($t, $path, %arg) {
    my %headers = %{ delete $arg{headers} // {} };
    my %type = (headers => { 'Content-Type' => 'text/plain', %headers });
    my $count = () = $t->emulator->submits;

    my $r = $t->request(POST => $path, %type, %arg, body => $TEXT);
    is $r->{status}, 202, "POST $path is accepted" or diag($r->{raw});

    my $location = $r->header('Location');
    if (!defined $location) {
        fail('a Location');
        return;
    }

    $r = $t->poll_until_done($location, headers => \%headers, %arg);
    is eval { $r->json->{response}{alternatives}[0]{message}{text} }, $TRANSLATED, '... translated';

    $r = $t->request(GET => $location, headers => { Accept => 'text/plain', %headers }, %arg);
    is $r->text, $TRANSLATED, '... and as text';

    my @submits = $t->emulator->submits;
    is @submits - $count, 1, '... submitted once';
    is $submits[-1]{json}{messages}[-1]{text}, $TEXT, '... what was asked';
    return $location;
}


1;
