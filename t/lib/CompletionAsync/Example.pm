package CompletionAsync::Example;

=encoding utf8

=head1 NAME

CompletionAsync::Example - complete configurations for users, made fit for a test

=head1 SYNOPSIS

    my $conf = CompletionAsync::Example::slurp("$root/conf-examples/minimal.conf");
    $t->run(CompletionAsync::Example::render($t, $conf));

=head1 DESCRIPTION

C<render($t, $conf)> returns a template for L<CompletionAsync::Test>: the module, user, logs, pid
and temporary files are those of the test, the server listens on %%PORT%%, %%PORT_1%%, ... in the
order of the C<listen> directives, the provider is the emulator, and files in F</etc/nginx> that
the configuration names are made in the test's directory. It dies where the configuration lacks
what a complete one has.

=cut

use strict;
use warnings;
use v5.36;


sub slurp ($path) {
    open my $file, '<:encoding(UTF-8)', $path or die "$path: $!\n";
    local $/;
    return <$file>;
}


sub render ($t, $conf) {
    $conf =~ s/^load_module\s+\S*ngx_http_completion_async_module\.so;$//m
        or die "no load_module\n";
    $conf =~ s/^(?:user|pid|error_log|daemon|worker_processes)\s[^;]*;$//mg;
    $conf =~ s/^\s+(?:access_log|\w+_temp_path)\s[^;]*;$//mg;
    $conf =~ s/^http \{$/http {\n%%TEST_GLOBALS_HTTP%%/m or die "no http block\n";

    $conf =~ s/^\s+folder\s+\S+;$//m or die "no folder\n";
    $conf =~ s/^\s+(?:submit|operations)_url\s+\S+;$//mg;
    $conf =~ s/^(\s+)api_key\s+file:\S+;$/$1%%PROVIDER%%/m or die "no api_key\n";

    my $n = 0;
    my $port = sub { my $i = $n++; $i ? "%%PORT_$i%%" : '%%PORT%%' };
    $conf =~ s/^(\s+listen\s+)(?:\S+:)?[0-9]+;/$1 . '127.0.0.1:' . $port->() . ';'/mge
        or die "no listen\n";

    $conf =~ s{(file:)?/etc/nginx/(\S+?)(?=[;\s])}{($1 // '') . _file($t, $2, $1)}ge;
    return "%%TEST_GLOBALS%%\n$conf";
}


# Long enough for a key, and a line that a file of users may have.
sub _file ($t, $name, $secret) {
    return $t->write_file($name, 'user:' . '0123456789abcdef' x 4 . "\n", $secret ? 0600 : 0644);
}


1;
